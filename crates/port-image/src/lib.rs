//! File-system images and archives without root: a tree of files becomes ext4, squashfs, erofs, cpio.
