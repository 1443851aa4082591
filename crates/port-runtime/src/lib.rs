//! Boots a machine: one MachineSpec, rendered purely, run by a driver, reached through its agent.
