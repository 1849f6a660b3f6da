# SPDX-License-Identifier: GPL-2.0
"""How the demos tell their stories: steps, checks, and a verdict in /mnt/share/verdict."""

import os
import subprocess
import textwrap

from demo_tools import KernelLog

SHARE = "/mnt/share"


def tell(text):
    """Lines of the story itself."""
    print(textwrap.fill(text, 96, initial_indent="   ", subsequent_indent="   "), flush=True)


class CannotGoOn(Exception):
    """The rest of the story makes no sense."""


class Story:
    """Numbered steps, each with its checks."""

    def __init__(self):
        self.steps = []
        self.log = KernelLog()

    def step(self, title):
        """Begins a step."""
        self.steps.append((title, []))
        print(f"\n{len(self.steps)}. {title}", flush=True)

    def check(self, what, passed, seen, expected):
        """One thing that is expected, and what was seen."""
        self.steps[-1][1].append(bool(passed))
        print(f"   {'[ok]    ' if passed else '[FAILED]'} {what}")
        print(f"            expected: {expected}\n            seen:     {seen}", flush=True)
        return passed

    def must(self, *arguments):
        """A check without which the story ends."""
        if not self.check(*arguments):
            raise CannotGoOn

    def kernel_says(self):
        """What the kernel's log has to say since the last time."""
        for line in self.log.news()[:6]:
            print(f"   kernel:   {line[:110]}", flush=True)

    def failed_steps(self):
        """The numbers of the steps with a failed check."""
        return [str(n) for n, (_, checks) in enumerate(self.steps, 1) if not all(checks)]

    def summary(self):
        """The steps and how they went."""
        print("\nThe story in short:")
        for number, (title, checks) in enumerate(self.steps, 1):
            print(f"   {'[ok]    ' if all(checks) else '[FAILED]'} {number}. {title}", flush=True)

    def verdict(self, steps):
        """Tells the story by calling `steps`; 0 when it went as it should."""
        try:
            steps()
        except CannotGoOn:
            print("\n   Without this the story cannot go on.", flush=True)
        except (OSError, subprocess.SubprocessError) as error:
            self.check("the demo itself", False, repr(error), "no error")
        self.summary()
        failed = self.failed_steps()
        words = "ok"
        if failed:
            words = f"step{'s' if len(failed) > 1 else ''} {', '.join(failed)} of {len(self.steps)}"
        with open(f"{SHARE}/verdict", "w", encoding="utf-8") as file:
            file.write(words)
            file.flush()
            os.fsync(file.fileno())
        return 0 if not failed else 1
