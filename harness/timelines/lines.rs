//! Finding the line of a listing that made a system call, with the tools that
//! come with every C compiler.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::record::Record;

/// Line numbers by address, of one source file.
#[derive(Default)]
pub struct Lines(HashMap<u64, u32>);

impl Lines {
    /// The lines of `source` (the name of a file) behind all system calls of a
    /// record. The program has to have line tables.
    ///
    /// # Errors
    /// If binutils are missing or cannot read the program.
    pub fn of(program: &Path, source: &str, record: &Record) -> Result<Lines> {
        let calls = record.events.iter().flat_map(|event| &event.stacks);
        let offsets: BTreeSet<u64> = calls.flatten().copied().collect();
        let segments = segments(program)?;
        let addresses: Vec<(u64, String)> = offsets
            .iter()
            .filter_map(|&offset| {
                let (start, address, _) =
                    segments.iter().find(|(start, _, length)| {
                        (*start..start + length).contains(&offset)
                    })?;
                // It is where the call returns to: one byte before is in it.
                let address = offset - start + address - 1;
                Some((offset, format!("{address:#x}")))
            })
            .collect();
        if addresses.is_empty() {
            return Ok(Lines::default());
        }
        let output = Command::new("addr2line")
            .arg("-e")
            .arg(program)
            .args(addresses.iter().map(|(_, address)| address))
            .output()
            .context("cannot start addr2line: install binutils")?;
        ensure!(output.status.success(), "addr2line: {}", output.status);
        let output = String::from_utf8_lossy(&output.stdout);
        let lines = addresses.iter().zip(output.lines());
        Ok(Lines(
            lines
                .filter_map(|((offset, _), line)| {
                    let (file, line) = line.rsplit_once(':')?;
                    let line = line.split(' ').next()?.parse().ok()?;
                    let name = Path::new(file).file_name()?;
                    (name == source).then_some((*offset, line))
                })
                .collect(),
        ))
    }

    /// The line of the innermost caller in the listing.
    pub fn find(&self, stack: &[u64]) -> Option<u32> {
        stack.iter().find_map(|offset| self.0.get(offset)).copied()
    }
}

/// Where the file's parts are in memory: offset, address, length.
fn segments(program: &Path) -> Result<Vec<(u64, u64, u64)>> {
    let output = Command::new("readelf")
        .args(["--segments", "--wide"])
        .arg(program)
        .output()
        .context("cannot start readelf: install binutils")?;
    ensure!(output.status.success(), "readelf: {}", output.status);
    let output = String::from_utf8_lossy(&output.stdout);
    let number = |word: &str| {
        u64::from_str_radix(word.trim_start_matches("0x"), 16).ok()
    };
    Ok(output
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["LOAD", offset, address, _, length, ..] => {
                    Some((number(offset)?, number(address)?, number(length)?))
                }
                _ => None,
            }
        })
        .collect())
}
