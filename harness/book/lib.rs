//! The book: its pages as written and as mdBook renders them, what they
//! include and claim, and building and serving them.
//!
//! The reader's first start compiles this and nothing more, so it uses mdBook,
//! an HTTP server and what these bring along. Whatever runs a program under
//! supervision, drives Chromium or draws belongs to another wing.

pub mod claims;
pub mod expand;
pub mod includes;
pub mod inputs;
pub mod serve;
pub mod site;
