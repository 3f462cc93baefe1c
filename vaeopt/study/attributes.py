"""Names of what trials and their study carry, for everybody who writes or reads them."""

__all__ = [
    "ACCEPTED",
    "AT_ONCE",
    "BATCH",
    "BEAT",
    "FAILURE",
    "IDENTITY",
    "INTERRUPTED",
    "PICTURES",
    "PICTURES_FAILED",
    "REPEAT",
    "RETRY_OF",
    "SEED_NUMBER",
    "WORKER",
]

WORKER = "vaeopt:worker"
"""which process asked for it"""
BEAT = "vaeopt:beat"
"""how often its process has said that it lives, on storages that have no heartbeat of their own"""
SEED_NUMBER = "vaeopt:seed_number"
"""what its seeds derive from, with the seed of the study"""
BATCH = "vaeopt:batch"
"""[place, size] among the trials that were asked for together; none where it was alone"""
RETRY_OF = "vaeopt:retry_of"
"""number of the trial that was cut off and that this one repeats"""
INTERRUPTED = "vaeopt:interrupted"
"""it failed because it was cut off"""
PICTURES = "vaeopt:pictures"
"""ids of its pictures by file name; not among its files, as nothing is lost with them"""
PICTURES_FAILED = "vaeopt:pictures_failed"
"""why pictures could not be drawn, by file name"""
REPEAT = "vaeopt:repeat"
"""of a trial whose parameters were trained before: {of: the first of them, trials: all whose mean
it has told, own: its own values, margin: its own, sd: of one trial, per value}"""
FAILURE = "vaeopt:failure"
"""the error that it failed with"""
AT_ONCE = "vaeopt:trials_at_once"
"""of the study: how many trials were asked for together last; none while it was always one"""
ACCEPTED = "vaeopt:accepted"
"""of the study: changes that a user has let through, [{name, was, is, from_trial, when}]"""
IDENTITY = "vaeopt:identity"
"""of the study: all that the guard compares; written last, so a study without it is unfinished"""
