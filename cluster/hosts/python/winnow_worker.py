"""A Winnow worker inside a Python program, through ctypes: no build step. See winnow_worker.h for what everything means."""

import asyncio
import ctypes
import os
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import AsyncIterator, NamedTuple, Optional

KINDS = {
    1: "registered", 2: "coordinator_lost", 3: "assigned", 4: "unassigned", 5: "loading", 6: "ready", 7: "fault",
    8: "draining", 9: "ended",
}
PHASES = ["waiting", "registered", "loading", "linking", "ready", "faulty", "draining", "ended"]
TIMEOUT = 10
ABI_VERSION = 2


class _Event(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("kind", c_int32), ("code", c_int32), ("stage", c_int32), ("stage_count", c_int32),
        ("first_layer", c_int32), ("end_layer", c_int32), ("fraction", c_double), ("text", c_char_p),
        ("layers", c_char_p),
    ]


class _Snapshot(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("phase", c_int32), ("stage", c_int32), ("stage_count", c_int32),
        ("first_layer", c_int32), ("end_layer", c_int32), ("requests", c_int32), ("loaded_fraction", c_double),
        ("kv_tokens_used", c_int64), ("kv_tokens", c_int64), ("messages", c_uint64), ("rows", c_uint64),
        ("busy_ns", c_uint64), ("rows_per_second", c_double), ("busy_share", c_double),
    ]


class _Config(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("model", c_char_p), ("coordinator", c_char_p), ("listen", c_char_p),
        ("advertised_host", c_char_p), ("role", c_int32), ("precision", c_int32), ("first_layer", c_int32),
        ("end_layer", c_int32), ("threads", c_int32), ("measures_speed", c_int32), ("cpus", POINTER(c_int32)),
        ("cpu_count", c_size_t), ("kv_tokens", c_int64), ("pipeline", c_char_p), ("weights_cache", c_char_p),
        ("name", c_char_p), ("key_file", c_char_p), ("insecure", c_int32), ("log_level", c_int32), ("on_log", c_void_p),
        ("log_user_data", c_void_p), ("on_event", c_void_p), ("event_user_data", c_void_p),
        ("layers", c_char_p),
    ]


def _load() -> ctypes.CDLL:
    library = ctypes.CDLL(os.environ.get("WINNOW_WORKER_LIBRARY", "libwinnow_worker.so.1"))
    status, worker = c_void_p, c_void_p
    for name, result, arguments in [
        ("winnow_abi_version", c_uint32, []),
        ("winnow_status_code", c_int32, [status]),
        ("winnow_status_message", c_char_p, [status]),
        ("winnow_status_release", None, [status]),
        ("winnow_worker_config_init", None, [POINTER(_Config), c_size_t]),
        ("winnow_worker_create", status, [POINTER(_Config), POINTER(worker)]),
        ("winnow_worker_start", status, [worker]),
        ("winnow_worker_drain", status, [worker]),
        ("winnow_worker_stop", status, [worker]),
        ("winnow_worker_wait", status, [worker, c_int64]),
        ("winnow_worker_destroy", status, [worker]),
        ("winnow_worker_descriptor", status, [worker, POINTER(c_int)]),
        ("winnow_worker_next_event", status, [worker, POINTER(_Event), POINTER(c_int)]),
        ("winnow_worker_get_snapshot", status, [worker, POINTER(_Snapshot)]),
        ("winnow_worker_endpoint", status, [worker, POINTER(c_char_p)]),
    ]:
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    if library.winnow_abi_version() < ABI_VERSION:
        raise OSError("the winnow_worker library is older than this module")
    return library


class WorkerError(Exception):
    """A status that is not WINNOW_OK."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


class Event(NamedTuple):
    kind: str
    code: int
    stage: int
    stage_count: int
    layers: range
    fraction: float
    text: str
    layer_span: str


class Worker:
    """One worker. Use as a context manager, or call close()."""

    _library: Optional[ctypes.CDLL] = None

    def __init__(self, model: str, coordinator: str, role: str = "stage", **fields):
        """fields: those of winnow_worker_config, strings as str."""
        if Worker._library is None:
            Worker._library = _load()
        self._handle = c_void_p()
        config = _Config()
        self._library.winnow_worker_config_init(byref(config), ctypes.sizeof(config))
        fields |= {"model": model, "coordinator": coordinator, "role": {"stage": 0, "speculator": 1}[role]}
        for name, value in fields.items():
            setattr(config, name, value.encode() if isinstance(value, str) else value)
        self._check(self._library.winnow_worker_create(byref(config), byref(self._handle)))

    def _check(self, status: Optional[int]) -> None:
        if status:
            code = self._library.winnow_status_code(status)
            message = self._library.winnow_status_message(status).decode()
            self._library.winnow_status_release(status)
            raise WorkerError(code, message)

    def start(self) -> None:
        self._check(self._library.winnow_worker_start(self._handle))

    def drain(self) -> None:
        self._check(self._library.winnow_worker_drain(self._handle))

    def stop(self) -> None:
        self._check(self._library.winnow_worker_stop(self._handle))

    def fileno(self) -> int:
        descriptor = c_int(-1)
        self._check(self._library.winnow_worker_descriptor(self._handle, byref(descriptor)))
        return descriptor.value

    def next_event(self) -> Optional[Event]:
        event, is_event = _Event(struct_size=ctypes.sizeof(_Event)), c_int()
        self._check(self._library.winnow_worker_next_event(self._handle, byref(event), byref(is_event)))
        if not is_event.value:
            return None
        return Event(
            KINDS.get(event.kind, "?"), event.code, event.stage, event.stage_count,
            range(event.first_layer, event.end_layer), event.fraction, event.text.decode(),
            event.layers.decode())

    def snapshot(self) -> dict:
        snapshot = _Snapshot(struct_size=ctypes.sizeof(_Snapshot))
        self._check(self._library.winnow_worker_get_snapshot(self._handle, byref(snapshot)))
        fields = {name: getattr(snapshot, name) for name, _ in _Snapshot._fields_[1:]}
        return fields | {"phase": PHASES[snapshot.phase]}

    async def events(self) -> AsyncIterator[Event]:
        """Events as they come, in asyncio's own loop; ends after `ended`."""
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        descriptor = self.fileno()
        loop.add_reader(descriptor, readable.set)
        try:
            while True:
                await readable.wait()
                readable.clear()
                while (event := self.next_event()) is not None:
                    yield event
                    if event.kind == "ended":
                        return
        finally:
            loop.remove_reader(descriptor)

    def close(self) -> None:
        """Ends the worker at once, if it runs, and lets go of all it has."""
        handle, self._handle = self._handle, c_void_p()
        self._check(self._library.winnow_worker_destroy(handle))

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_) -> None:
        self.close()
