//! What a program or a check needs beyond Rust and a Unix system.

use std::env;
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};

/// A program that a check needs.
pub struct Tool {
    name: &'static str,
    command: &'static str,
    /// The first version that will do: its first two numbers.
    oldest: (u32, u32),
    install: &'static str,
}

pub const PYTHON: Tool = Tool {
    name: "python3",
    command: "python3",
    oldest: (3, 8),
    install: "for example with sudo apt-get install python3",
};

pub const NODE: Tool = Tool {
    name: "Node.js",
    command: "node",
    oldest: (20, 0),
    install: "with npm",
};

pub const MDBOOK: Tool = Tool {
    name: "mdbook",
    command: "mdbook",
    oldest: (0, 5),
    install: "with cargo install mdbook --locked",
};

pub const STRACE: Tool = Tool {
    name: "strace",
    command: "strace",
    oldest: (5, 10),
    install: "for example with sudo apt-get install strace",
};

impl Tool {
    /// Asks the tool on the `PATH` for its version; returns what it says.
    ///
    /// # Errors
    /// If it is missing, fails, or is too old.
    pub fn version(&self) -> Result<String> {
        let Tool { name, install, .. } = self;
        let (major, minor) = self.oldest;
        let needed = || format!("install {major}.{minor} or newer, {install}");
        let output = Command::new(self.command)
            .arg("--version")
            .output()
            .with_context(|| format!("{name} is missing: {}", needed()))?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        ensure!(
            output.status.success(),
            "{name} cannot tell its version ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        ensure!(
            numbers(&said) >= Some(self.oldest),
            "{name} is too old ({said}): {}",
            needed()
        );
        Ok(said)
    }
}

/// The first two numbers of what a program says about its version: 3 and 11 of
/// `Python 3.11.2`.
fn numbers(said: &str) -> Option<(u32, u32)> {
    let start = said.find(|it: char| it.is_ascii_digit())?;
    let mut numbers = said[start..]
        .split(|it: char| !it.is_ascii_digit())
        .map(|it| it.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Why there is no python3 that will do, or nothing.
static NO_PYTHON: LazyLock<Option<String>> =
    LazyLock::new(|| Some(format!("{:#}", PYTHON.version().err()?)));

/// Whether a check that needs python3 is to be left out: it is missing, and
/// this is a reader's machine. `source` is the program's text. Where
/// `CI=true` nothing is left out, so that the check fails there.
pub fn is_left_out(name: &str, source: &str) -> bool {
    if on_ci() || !starts_python(source) {
        return false;
    }
    if let Some(problem) = &*NO_PYTHON {
        eprintln!("skipped {name}: {problem}");
    }
    NO_PYTHON.is_some()
}

/// Whether the program of this text starts Python.
pub fn starts_python(source: &str) -> bool {
    source.contains("Command::new(\"python3\")")
}

/// Whether this runs under continuous integration, where nothing is skipped.
pub fn on_ci() -> bool {
    env::var_os("CI").is_some_and(|ci| ci == "true")
}

/// Whether what is there now is right, and to be written down.
pub fn accepts() -> bool {
    env::var_os("SNAPSHOTS").is_some_and(|mode| mode == "overwrite")
}

/// How many programs this machine runs at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(command: &'static str, oldest: (u32, u32)) -> Tool {
        Tool {
            name: "the tool",
            command,
            oldest,
            install: "by hand",
        }
    }

    #[test]
    fn a_version_is_read_from_what_programs_say() {
        assert_eq!(numbers("Python 3.11.2"), Some((3, 11)));
        assert_eq!(numbers("v20.20.2"), Some((20, 20)));
        assert_eq!(numbers("mdbook v0.5.4"), Some((0, 5)));
        assert_eq!(numbers("no number"), None);
    }

    #[test]
    fn a_tool_that_is_missing_or_too_old_is_named() -> Result<()> {
        // Whoever runs this test has a cargo.
        tool("cargo", (1, 95)).version()?;
        let problem = |tool: Tool| match tool.version() {
            Ok(said) => said,
            Err(error) => format!("{error:#}"),
        };
        let old = problem(tool("cargo", (1000, 0)));
        assert!(old.contains("too old (cargo 1."), "{old}");
        assert!(old.contains("install 1000.0 or newer, by hand"), "{old}");
        let missing = problem(tool("no such tool", (1, 0)));
        assert!(missing.contains("the tool is missing"), "{missing}");
        let broken = problem(tool("false", (1, 0)));
        assert!(broken.contains("cannot tell its version"), "{broken}");
        Ok(())
    }
}
