"""Watches what is wired to the pins of a Raspberry Pi, and switches a lamp or a buzzer.

gpiozero reaches the pins by whichever library the machine has (lgpio on a Pi of today), and calls
back from a thread of its own. Debouncing is done here, with time as an argument: the libraries do
it each in its own way or not at all.
"""

import asyncio
import warnings
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeAlias, TypeVar

from gpiozero import BadPinFactory, DigitalInputDevice, OutputDevice

from drivers.device import PinInput
from drivers.frame import PinChange
from drivers.transport import Emit, Report, TransportReport, TransportState
from drivers.transports.changes import only_changes

RETRY_S = 60.0
"""A pin that could not be opened is tried this often. Mending it takes a person."""

Change: TypeAlias = tuple[int, float]
"""The level that a pin changed to, and when."""

Result = TypeVar("Result")


class PinError(Exception):
    """A pin cannot be had just now. Its text says which, why, and what to do."""


class Debouncer:
    """Tells the changes of one pin from the bouncing of a contact.

    The first edge is a change at once, and opens a window. Edges inside it are no changes; but if
    the level at its end is another one, that is a change, dated to the last edge, and opens the
    next window. So the levels of changes alternate, the last of them is the level at which the pin
    came to rest, and there is one change for each window at most.

    All times are seconds of one clock that never jumps.
    """

    def __init__(self, level: int, window_s: float) -> None:
        self._believed = level
        self._latest: Change = (level, 0.0)
        self._window_s = window_s
        self.settles_at: float | None = None
        """When the open window ends and `advance` is due; None while no window is open."""

    def edge(self, level: int, at: float) -> list[Change]:
        """Return the changes that are certain now that this edge was seen, oldest first."""
        settled = self.advance(at)
        self._latest = (level, at)
        return settled if self.settles_at is not None else settled + self._change(at)

    def advance(self, to: float) -> list[Change]:
        """Return the changes that are certain now that it is `to`."""
        if self.settles_at is None or to < self.settles_at:
            return []
        window_end, self.settles_at = self.settles_at, None
        changed = self._change(window_end)
        return changed + self.advance(to)

    def _change(self, window_start: float) -> list[Change]:
        level, _ = self._latest
        if level == self._believed:
            return []
        self._believed = level
        self.settles_at = window_start + self._window_s
        return [self._latest]


class GpioTransport:
    """All input pins.

    It is never SILENT: that a door is not opened for a month is no fault of the pin.
    """

    name = "gpio"

    def __init__(
        self, inputs: Sequence[PinInput], now: Callable[[], datetime], *, retry_s: float = RETRY_S
    ) -> None:
        """Prepare; nothing is opened before `run`."""
        self._inputs = tuple(inputs)
        self._now = now
        self._retry_s = retry_s

    async def run(self, emit: Emit, report: Report) -> None:
        """Watch until cancelled. The level found at opening is emitted like a change.

        A pin that cannot be opened makes the transport BROKEN; the others are watched all the same,
        and it is tried again every retry_s.
        """
        report = only_changes(report)
        report(TransportReport(TransportState.STARTING))
        watched: list[_WatchedPin] = []
        missing = self._open(self._inputs, watched, emit, report)
        try:
            while missing:
                await asyncio.sleep(self._retry_s)
                missing = self._open(missing, watched, emit, report)
            await asyncio.get_running_loop().create_future()
        finally:
            for pin in watched:
                pin.close()

    def _open(
        self,
        inputs: Sequence[PinInput],
        watched: list["_WatchedPin"],
        emit: Emit,
        report: Report,
    ) -> tuple[PinInput, ...]:
        """Add those that can be opened to `watched`, and return the others."""
        faults = {}
        for wanted in inputs:
            try:
                watched.append(_WatchedPin(wanted, self._now, emit))
            except PinError as error:
                faults[wanted] = str(error)
        state = TransportState.BROKEN if faults else TransportState.HEARING
        # A missing library is the same fault for every pin, and told once.
        report(TransportReport(state, " ".join(dict.fromkeys(faults.values()))))
        return tuple(faults)


class _WatchedPin:
    """An input pin that has been opened; raises PinError when that fails."""

    def __init__(self, wanted: PinInput, now: Callable[[], datetime], emit: Emit) -> None:
        self._pin = wanted.pin
        self._now = now
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._device = _attempt(wanted.pin, partial(_input_device, wanted))
        # gpiozero calls a pulled-up pin active when it is low; frames tell the electrical level.
        active = 0 if wanted.pull == "up" else 1
        self._device.when_activated = partial(self._edge_elsewhere, active)
        self._device.when_deactivated = partial(self._edge_elsewhere, 1 - active)
        level = active if self._device.is_active else 1 - active
        self._debouncer = Debouncer(level, wanted.debounce_s)
        self._window: asyncio.TimerHandle | None = None
        self._tell([(level, self._loop.time())])

    def close(self) -> None:
        """Emit nothing more, and give the pin back."""
        if self._window is not None:
            self._window.cancel()
        self._device.close()

    def _edge_elsewhere(self, level: int) -> None:
        """Take the time at once: this runs in the thread of the pin library."""
        self._loop.call_soon_threadsafe(self._edge, level, self._loop.time())

    def _edge(self, level: int, at: float) -> None:
        if not self._device.closed:
            self._tell(self._debouncer.edge(level, at))

    def _tell(self, changes: Iterable[Change]) -> None:
        """Emit the changes, and come back at the end of the window that the last one opened."""
        for level, at in changes:
            age = timedelta(seconds=self._loop.time() - at)
            self._emit(PinChange(self._pin, level, self._now() - age))
        settles_at = self._debouncer.settles_at
        if self._window is not None:
            self._window.cancel()
        if settles_at is not None:
            self._window = self._loop.call_at(settles_at, self._settle, settles_at)

    def _settle(self, at: float) -> None:
        self._tell(self._debouncer.advance(at))


class Output:
    """A lamp or a buzzer: its pin is high while it is on, and low from the first switching.

    The pin is opened when it is first switched. `on` and `off` raise PinError; calling them again
    is trying again.
    """

    def __init__(self, pin: int) -> None:
        """pin: BCM number, 0 to 27."""
        self._pin = pin
        self._device: Any = None

    def on(self) -> None:
        _attempt(self._pin, partial(self._switch, 1))

    def off(self) -> None:
        _attempt(self._pin, partial(self._switch, 0))

    def close(self) -> None:
        """Give the pin back, which leaves it without current."""
        if self._device is not None:
            self._device.close()
            self._device = None

    def _switch(self, value: int) -> None:
        if self._device is None:
            self._device = OutputDevice(self._pin)
        self._device.value = value


def _input_device(wanted: PinInput) -> Any:
    pull_up = {"up": True, "down": False, "none": None}[wanted.pull]
    # gpiozero wants to be told what is active exactly where the pull does not tell it.
    active_state = True if pull_up is None else None
    return DigitalInputDevice(wanted.pin, pull_up=pull_up, active_state=active_state)


def _attempt(pin: int, action: Callable[[], Result]) -> Result:
    """Return what `action` on this pin returns; raises PinError with what to do."""
    with warnings.catch_warnings(record=True) as fallbacks:
        # gpiozero warns about each library that it tried in vain before it gives up.
        warnings.simplefilter("always")
        try:
            return action()
        except BadPinFactory as error:
            tried = "; ".join(str(warning.message) for warning in fallbacks) or str(error)
            raise PinError(
                "No library that reaches the GPIO pins could be used. Install one: `sudo apt "
                f"install python3-lgpio`, or `pip install 'satomori[pi]'`. Tried: {tried}."
            ) from error
        except Exception as error:  # lgpio.error is a bare Exception, and lgpio may not be there
            raise PinError(
                f"GPIO pin {pin} could not be used: {type(error).__name__}: {error}. Check that "
                "nothing else uses it, and that this user is in the group gpio."
            ) from error
