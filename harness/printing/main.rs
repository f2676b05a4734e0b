//! `cargo run -- pdf`: prints the whole book to one file.

use std::process::ExitCode;

use anyhow::Result;
use book::site;
use printing::pdf;

fn main() -> ExitCode {
    book::conclude(run())
}

fn run() -> Result<()> {
    let printed = pdf::print(&site::root()?)?;
    println!("The book is printed: {}", printed.file.display());
    if let Some(remark) = printed.remark {
        println!("Note: {remark}.");
    }
    Ok(())
}
