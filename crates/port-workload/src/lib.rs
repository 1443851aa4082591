//! Workload manifests (Volt's format, version 2): read, validated, resolved and planned.
//!
//! Nothing here does I/O, reads the environment or a clock: callers bring texts, bases and variables.
