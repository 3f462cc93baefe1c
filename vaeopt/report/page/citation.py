"""What to cite."""

from vaeopt.core.version import __version__

__all__ = ["BIBTEX"]

BIBTEX = f"""\
@article{{slautin2025reward,
  title   = {{Reward driven discovery of the optimal microstructure representations with invariant
             variational autoencoders}},
  author  = {{Slautin, Boris N. and Barakati, Kamyar and Funakubo, Hiroshi and Ziatdinov, Maxim A.
             and Shvartsman, Vladimir V. and Lupascu, Doru C. and Kalinin, Sergei V.}},
  journal = {{arXiv preprint arXiv:2510.00243}},
  year    = {{2025}},
}}

@inproceedings{{akiba2019optuna,
  title     = {{Optuna: a next-generation hyperparameter optimization framework}},
  author    = {{Akiba, Takuya and Sano, Shotaro and Yanase, Toshihiko and Ohta, Takeru and
               Koyama, Masanori}},
  booktitle = {{ACM SIGKDD International Conference on Knowledge Discovery and Data Mining}},
  year      = {{2019}},
  doi       = {{10.1145/3292500.3330701}},
}}

@article{{bingham2019pyro,
  title   = {{Pyro: deep universal probabilistic programming}},
  author  = {{Bingham, Eli and others}},
  journal = {{Journal of Machine Learning Research}},
  volume  = {{20}},
  number  = {{28}},
  pages   = {{1--6}},
  year    = {{2019}},
}}

@misc{{vaeopt,
  title  = {{vaeopt}},
  author = {{{{The vaeopt developers}}}},
  note   = {{Software, version {__version__}}},
}}
"""
