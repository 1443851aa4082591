//! Kernels: bzImage to vmlinux, ELF facts, Debian packages, modules in load order. No network.
