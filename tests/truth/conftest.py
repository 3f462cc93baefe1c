"""Fixtures of the upper floors."""

from tests.study.tiny import finished_folder as finished_folder
from tests.study.tiny import quick as quick
from tests.study.tiny import untouched as untouched
