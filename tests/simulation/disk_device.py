"""Disks made of memory, to be cut off from power: images, loop devices, ext4, mounts of our own.

Nothing outlives the process. An image is an anonymous file in memory; a loop device lets go of it
when it is unmounted; mounts are made in a namespace that ends with the last process in it. So there
is nothing to clean up, not even after a kill -9.
"""

import ctypes
import errno
import fcntl
import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BLOCK_BYTES = 4096
"""Of ext4, as mke2fs chooses it for a real card; for small disks it would choose 1024."""

ROOM = Path("/dev/shm")
"""Where everything is mounted that is; hidden from all other processes."""

ATTEMPTS = 100

# From linux/loop.h, linux/fs.h, linux/prctl.h, sched.h and sys/mount.h.
LOOP_CTL_GET_FREE = 0x4C82
LOOP_CONFIGURE = 0x4C0A
LO_FLAGS_AUTOCLEAR = 4
LOOP_MAJOR = 7
BLKFLSBUF = 0x1261
PR_SET_PDEATHSIG = 1
CLONE_NEWNS = 0x20000
MS_NOATIME, MS_REC, MS_PRIVATE = 0x400, 0x4000, 0x40000
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


class CannotSimulate(RuntimeError):
    """This machine does not let us make disks; the message says what is missing. Skip the test."""


def private_mounts() -> None:
    """Give this process mounts of its own, and an empty ROOM. Raises CannotSimulate."""
    try:
        _call("unshare", CLONE_NEWNS)
        _call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        _call("mount", b"satomori", os.fsencode(ROOM), b"tmpfs", 0, None)
    except OSError as problem:
        raise CannotSimulate(f"mounting is not allowed ({problem.strerror}): be root") from problem


def check_machine() -> None:
    """Raise CannotSimulate unless loop devices, ext4 and mke2fs are to be had."""
    if os.geteuid():
        raise CannotSimulate("loop devices and mounts need root: sudo make simulate")
    if not Path("/dev/loop-control").exists():
        raise CannotSimulate("there is no /dev/loop-control: modprobe loop, outside of a container")
    _tool("mke2fs")


def die_with_parent() -> None:
    """Let the kernel kill this process when the one that started it has ended in any way."""
    _call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def memory_file(content: bytes = b"") -> int:
    """Return the descriptor of a file without a name."""
    file = os.memfd_create("satomori-disk")
    _write_all(file, content)
    return file


def blank_disk(size_bytes: int, block_bytes: int = BLOCK_BYTES) -> bytes:
    """Return an empty ext4, made as on a real card. Raises CannotSimulate."""
    file = os.memfd_create("satomori-blank")
    try:
        os.ftruncate(file, size_bytes)
        path = f"/proc/{os.getpid()}/fd/{file}"
        # All at once, so that the kernel does not go on with it in the background.
        now = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
        subprocess.run(
            [_tool("mke2fs"), "-q", "-t", "ext4", "-b", str(block_bytes), "-E", now, path],
            check=True,
            capture_output=True,
        )
        return os.pread(file, size_bytes, 0)
    finally:
        os.close(file)


@contextmanager
def mounted(image: int, folder: Path, options: str = "") -> Iterator[str]:
    """Have the ext4 in this file mounted on a new folder; yields its device, such as "loop3".

    Raises OSError if it cannot be mounted, or not be unmounted, because files in it are open.
    """
    folder.mkdir()
    try:
        path = _mount(image, folder, options)
    except BaseException:
        folder.rmdir()
        raise
    try:
        yield path.removeprefix("/dev/")
    except BaseException:
        # Whatever went wrong may still hold files open; it goes when they do.
        unmount(folder, flags=MNT_DETACH)
        raise
    unmount(folder)


def unmount(folder: Path, *, flags: int = 0) -> None:
    """Unmount, and remove the folder. Raises OSError if files in it are open."""
    _call("umount2", os.fsencode(folder), flags)
    folder.rmdir()


def sync(folder: Path) -> None:
    """Write everything to the disk that a folder is on."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        _call("syncfs", handle)
    finally:
        os.close(handle)


def write_back(file: int) -> None:
    """Let the kernel write a file's pages now, without a flush: it may do so at any time."""
    just_write = 2
    _call("sync_file_range", file, ctypes.c_int64(0), ctypes.c_int64(0), just_write)


def _mount(image: int, folder: Path, options: str) -> str:
    device, path = _attached(image)
    try:
        _call("mount", path.encode(), os.fsencode(folder), b"ext4", MS_NOATIME, options.encode())
    finally:
        os.close(device)
    return path


def _attached(image: int) -> tuple[int, str]:
    """Return a loop device, open, that is let go of at its last close."""
    info = struct.pack("=5Q4I", *(0,) * 8, LO_FLAGS_AUTOCLEAR).ljust(232, b"\0")
    config = struct.pack("=II", image, 0) + info + bytes(64)
    for _ in range(ATTEMPTS):
        path = _free_device()
        device = os.open(path, os.O_RDWR)
        try:
            fcntl.ioctl(device, LOOP_CONFIGURE, config)
            fcntl.ioctl(device, BLKFLSBUF)
        except OSError as problem:
            os.close(device)
            # Somebody else was faster.
            if problem.errno != errno.EBUSY:
                raise
        else:
            return device, path
    raise BlockingIOError(f"no loop device is free, after {ATTEMPTS} attempts")


def _free_device() -> str:
    control = os.open("/dev/loop-control", os.O_RDWR)
    try:
        number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
    finally:
        os.close(control)
    path = f"/dev/loop{number}"
    if not Path(path).exists():  # in a container nobody makes it
        os.mknod(path, 0o600 | 0o060000, os.makedev(LOOP_MAJOR, number))
    return path


def _tool(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if path is None:
        raise CannotSimulate(f"{name} is not installed: sudo apt-get install e2fsprogs")
    return path


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
