//! `cargo run -p timelines -- PROGRAM [ARGUMENT…]` prints what happens between
//! the program's processes. With line tables it names the lines of a source
//! that has the program's name.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use timelines::lines::Lines;
use timelines::record;
use timelines::strace::{self, How};

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().context("a program is missing")?;
    let program = PathBuf::from(program).canonicalize()?;
    let arguments: Vec<String> = arguments
        .map(|it| it.to_string_lossy().into_owned())
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let how = How {
        deadline: Duration::from_secs(60),
        futexes: true,
    };
    let traced = strace::trace(&program, &arguments, how)?;
    let record = record::of(&traced.lines)?;
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let lines = Lines::of(&program, &format!("{name}.rs"), &record)?;
    print!(
        "{}",
        record.text(|stack| lines.find(stack), |_| String::new())
    );
    Ok(())
}
