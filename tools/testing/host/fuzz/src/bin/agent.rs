// SPDX-License-Identifier: GPL-2.0

#![no_main]

rdax_host_fuzz::target!(agent);
