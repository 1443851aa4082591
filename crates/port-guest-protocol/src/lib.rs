//! The line protocol between Port and its guest agent: requests, responses, frames.
