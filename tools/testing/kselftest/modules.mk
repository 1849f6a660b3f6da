# SPDX-License-Identifier: GPL-2.0
# What the tests delay, hide and hold with, for the kernel of KDIR.  Kbuild names the objects.

KDIR ?= /lib/modules/$(shell uname -r)/build
here := $(patsubst %/,%,$(dir $(realpath $(lastword $(MAKEFILE_LIST)))))

all:
	$(MAKE) -C $(KDIR) M=$(here) modules

clean:
	$(MAKE) -C $(KDIR) M=$(here) clean

.PHONY: all clean
