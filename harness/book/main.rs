//! The reader's command: builds the book and serves it on this machine.

use std::env;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use book::serve::Server;
use book::site;

const HELP: &str = "\
Builds the book and serves it on 127.0.0.1.

Usage: cargo run [-- [build|pdf] [OPTIONS]]

Commands:
  build          only build the book, do not serve it
  pdf            print the whole book to target/book.pdf, with the Chromium on
                 the PATH or the one that the variable CHROMIUM names

Options:
  --port PORT    serve on this port (default: the first free one from 3000)
  --no-open      do not open a browser
  --help         print this text
";

/// What is to be done.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Task {
    #[default]
    Serve,
    Build,
    Print,
}

/// What the reader asked for.
#[derive(Default)]
struct Request {
    help: bool,
    task: Task,
    port: Option<u16>,
    no_open: bool,
}

fn main() -> ExitCode {
    book::conclude(run())
}

fn run() -> Result<()> {
    let request = parse(lexopt::Parser::from_env())
        .context("cannot understand the command (--help lists all options)")?;
    if request.help {
        print!("{HELP}");
        return Ok(());
    }
    let root = site::root()?;
    if request.task == Task::Print {
        return Err(print(&root));
    }
    // A taken port is known at once, and nothing is built for it.
    let server = match request.task {
        Task::Serve => Some(Server::bind(request.port)?),
        Task::Build | Task::Print => None,
    };
    let pages = site::build(&root)?;
    let Some(server) = server else {
        let index = pages.join("index.html");
        println!("The book is built: {}", index.display());
        return Ok(());
    };
    let address = server.address();
    if let Some(remark) = &server.remark {
        println!("Note: {remark}.");
    }
    println!("The book is at {address} (Ctrl-C ends the server).");
    io::stdout().flush()?;
    if !request.no_open && has_browser() {
        // The address is on the screen: a browser that fails to open is no
        // reason to stop.
        if let Err(error) = open::that_detached(&address) {
            eprintln!("No browser opened ({error}): open the address by hand.");
        }
    }
    match server.serve(&pages)? {}
}

/// Becomes the program that prints the book: whoever only reads it need not
/// compile that one. Returns if this fails, with the reason.
fn print(root: &Path) -> anyhow::Error {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let error = Command::new(cargo)
        .args(["run", "--quiet", "--package", "printing"])
        .current_dir(root)
        .exec();
    anyhow::Error::new(error).context("cannot start cargo")
}

fn parse(mut arguments: lexopt::Parser) -> Result<Request> {
    use lexopt::prelude::{Long, Short, Value};

    let mut request = Request::default();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("help") | Short('h') => request.help = true,
            Long("no-open") => request.no_open = true,
            Long("port") => {
                let port = arguments.value()?.to_string_lossy().into_owned();
                let port = port.parse().ok().filter(|&port| port != 0);
                request.port = Some(
                    port.context("--port takes a number from 1 to 65535")?,
                );
            }
            Value(command) if command == "build" => request.task = Task::Build,
            Value(command) if command == "pdf" => request.task = Task::Print,
            other => bail!(other.unexpected()),
        }
    }
    if request.task != Task::Serve && request.port.is_some() {
        bail!("only the served book has a port: leave --port out");
    }
    Ok(request)
}

/// Without a desktop, opening a page can start a text browser that takes the
/// terminal.
fn has_browser() -> bool {
    cfg!(not(target_os = "linux"))
        || ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .any(|name| env::var_os(name).is_some_and(|v| !v.is_empty()))
}
