"""A small ext4 file system in a file, which can be filled, made read-only, or lose its power."""

import ctypes
import fcntl
import os
import shutil
import subprocess
import tempfile

EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
NO_LOG_FLUSH = 2                # as a power cut: what the journal holds in memory is lost


class Unavailable(Exception):
    """This machine cannot make such a disk; the text says why."""


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout.strip()


CLONE_NEWNS = 0x00020000
MS_REC_PRIVATE = 0x4000 | 1 << 18
_world_of_mounts = []


def leave_the_mounts_of_others():
    """What is mounted from here on is seen by this thread, those it starts, and their programs alone: another test that makes a
    world of its own meanwhile would take a copy of the disk along, and keep it busy."""
    if _world_of_mounts:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise Unavailable(f"needs mounts of its own: {os.strerror(ctypes.get_errno())}")
    libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None)  # refused where / is no mount point: then nothing is shared
    _world_of_mounts.append(True)


class LoopDisk:
    def __init__(self, megabytes):
        if os.geteuid() != 0:
            raise Unavailable("needs root, for a file system of its own")
        for program in ("mkfs.ext4", "fsck.ext4", "losetup", "mount", "umount"):
            if shutil.which(program) is None:
                raise Unavailable(f"needs {program}")
        leave_the_mounts_of_others()
        self.folder = tempfile.mkdtemp(prefix="postern-disk-")
        self.path = f"{self.folder}/mounted"
        self.device = None
        self.mounted = False
        image = f"{self.folder}/image"
        os.mkdir(self.path)
        try:
            with open(image, "wb") as file:
                file.truncate(megabytes << 20)
            run("mkfs.ext4", "-q", "-F", image)
            self.device = run("losetup", "--find", "--show", image)
            self.mount()
        except subprocess.CalledProcessError as error:
            self.close()
            raise Unavailable(f"needs loop devices and mount: {error.stderr.strip()}") from None

    def mount(self):
        run("mount", "-t", "ext4", self.device, self.path)
        self.mounted = True

    def unmount(self):
        run("umount", self.path)
        self.mounted = False

    def cut_power(self):
        """From here on nothing more reaches the disk, and what the journal has not written yet is gone."""
        folder = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH.to_bytes(4, "little"))
        finally:
            os.close(folder)

    def restore_power(self):
        """Unmounts, repairs as a start of the machine would, and mounts again. Nobody may use the disk."""
        self.unmount()
        done = subprocess.run(["fsck.ext4", "-p", self.device], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode > 1:  # 1: repaired
            raise AssertionError(f"fsck: {done.stdout}{done.stderr}")
        self.mount()

    def make_read_only(self):
        """What the kernel does with `errors=remount-ro` when the disk fails. restore_power() repairs it."""
        run("mount", "-o", "remount,abort", self.path)

    def close(self):
        if self.mounted:
            subprocess.run(["umount", "-l", self.path], check=False, capture_output=True, timeout=60)
        if self.device:
            subprocess.run(["losetup", "--detach", self.device], check=False, capture_output=True, timeout=60)
        shutil.rmtree(self.folder, ignore_errors=True)
