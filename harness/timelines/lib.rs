//! Timelines: a program is run under strace, what its processes did to each
//! other is recorded, and a figure shows what a small file chooses of it.
//!
//! It compiles in seconds: it knows neither the pages nor the tests.

pub mod choice;
pub mod draw;
pub mod lines;
pub mod record;
pub mod strace;
