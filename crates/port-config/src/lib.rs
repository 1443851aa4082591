//! port.toml and port.lock: text to checked values, with errors that point at the line. No I/O.
