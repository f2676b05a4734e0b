//! The book: its pages as written and as mdBook renders them, what they
//! include and claim, and building and serving them.
//!
//! The reader's first start compiles this and nothing more, so it uses mdBook,
//! an HTTP server and what these bring along. Whatever runs a program under
//! supervision, drives Chromium or draws belongs to another wing.

use std::process::ExitCode;

pub mod claims;
pub mod expand;
pub mod includes;
pub mod inputs;
pub mod serve;
pub mod site;

/// How a command of the reader's ends: with its error, if any, on one line.
pub fn conclude(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
