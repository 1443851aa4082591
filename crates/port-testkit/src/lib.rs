//! What tests share: a hermetic environment, the port binary, snapshots, contract suites.
