"""Optuna's gRPC proxy, seen from a worker: it may be away for a while, as a database may."""

import time
from collections.abc import Callable
from typing import Any

import grpc  # type: ignore[import-untyped]
from optuna.storages import GrpcStorageProxy
from optuna.storages._grpc.client import GrpcClientCache

from vaeopt.study.storage import relational
from vaeopt.study.storage.away import LostError, StorageError
from vaeopt.study.storage.urls import SETTING

__all__ = ["PatientProxy"]

# What makes something new, or tells: asked for twice, it would be done twice.
_ONCE = ("CreateNewStudy", "CreateNewTrial", "SetTrialStateValues")
_NEVER_SENT = "failed to connect"


class PatientProxy(GrpcStorageProxy):
    """A proxy whose server may be started anew in the middle of a study."""

    def _setup(self) -> None:
        super()._setup()
        stub: Any = _PatientStub(self._stub, f"grpc://{self._host}:{self._port}")
        self._stub = stub
        self._cache = GrpcClientCache(stub)


class _PatientStub:
    """Asks again while nobody answers."""

    def __init__(self, stub: Any, shown: str) -> None:
        self._stub, self._shown = stub, shown

    def __getattr__(self, name: str) -> Callable[[Any], Any]:
        call = getattr(self._stub, name)

        def asked(request: Any) -> Any:
            until = time.monotonic() + relational.PATIENCE_S
            while True:
                try:
                    return call(request)
                except grpc.RpcError as error:
                    if error.code() != grpc.StatusCode.UNAVAILABLE:
                        raise
                    sent = _NEVER_SENT not in (error.details() or "").lower()
                    if sent and name in _ONCE:
                        raise self._away(LostError) from error
                    if time.monotonic() >= until:
                        raise self._away(StorageError) from error
                time.sleep(relational.PAUSE_S)

        return asked

    def _away(self, kind: type[StorageError]) -> StorageError:
        return kind(
            f"storage {self._shown} cannot be used now: its server does not answer",
            setting=SETTING,
            remedy="run the same command again when it can; no finished trial is lost",
        )
