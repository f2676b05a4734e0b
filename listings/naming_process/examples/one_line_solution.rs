// ANCHOR: all
//! Solution: make one line of the log out of any name and any message.

use std::env;

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    check()
}

// ANCHOR: task
/// One line: a single end of line, at its end, and at most PIPE_BUF bytes.
fn line(name: &str, message: &str) -> String {
    let mut line = format!("[{name}] {message}").replace('\n', "\\n");
    let mut end = line.len().min(libc::PIPE_BUF - 1);
    // Not in the middle of a character.
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    line.push('\n');
    line
}
// ANCHOR_END: task

fn check() -> Result<()> {
    let long = "ü".repeat(libc::PIPE_BUF);
    for message in ["started", "done\n[Worker-2] failed", &long, ""] {
        let start: String = message.chars().take(20).collect();
        let line = line("Worker-1", message);
        let text = line.strip_suffix('\n');
        let text = text.context("not solved yet: no end of line")?;
        ensure!(
            !text.contains('\n'),
            "not solved yet: {start:?} became two lines"
        );
        ensure!(
            line.len() <= libc::PIPE_BUF,
            "not solved yet: {start:?} and so on became {} bytes",
            line.len()
        );
        ensure!(
            text.starts_with("[Worker-1] "),
            "not solved yet: {start:?} has lost its name"
        );
    }
    let line = line("Worker-1", "started");
    ensure!(
        line == "[Worker-1] started\n",
        "not solved yet: an ordinary line became {line:?}"
    );
    println!("solved");
    Ok(())
}
// ANCHOR_END: all
