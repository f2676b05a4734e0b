//! A conversation with a Chromium that has no window, in its DevTools protocol:
//! JSON messages, each ended by a zero byte, over the descriptors 3 and 4.
//!
//! Chromium ends when its descriptor 3 does, so it outlives nobody who has
//! started it.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use command_fds::{CommandFdExt, FdMapping};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use running::chromium::OLDEST;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long the processes of Chromium may take to end once they are to.
const LEAVING: Duration = Duration::from_secs(10);

/// How much of what Chromium says on standard error an error repeats.
const LAST_LINES: usize = 10;

/// A running Chromium, which ends when this is dropped.
pub struct Chromium {
    program: PathBuf,
    version: String,
    child: Child,
    ended: Option<ExitStatus>,
    requests: Option<PipeWriter>,
    answers: Receiver<Result<Value>>,
    /// Comes when the last process of Chromium has ended.
    remarks: Receiver<String>,
    patience: Duration,
    sent: u64,
    session: Option<String>,
    /// A Chromium that is open on the desktop has a profile of its own.
    _profile: TempDir,
}

impl Chromium {
    /// Starts `program`, which may take `patience` for its start and for each
    /// answer.
    ///
    /// # Errors
    /// If it cannot be started, does not answer, or is older than [`OLDEST`].
    pub fn start(program: &Path, patience: Duration) -> Result<Chromium> {
        let profile = tempfile::tempdir().context("cannot make a folder")?;
        let (its_requests, requests) = std::io::pipe()?;
        let (answers, its_answers) = std::io::pipe()?;
        let (remarks, its_remarks) = std::io::pipe()?;
        let mut folder = std::ffi::OsString::from("--user-data-dir=");
        folder.push(profile.path());
        let mut command = Command::new(program);
        command
            .args(["--headless", "--disable-gpu", "--disable-extensions"])
            .args(["--disable-background-networking", "--no-first-run"])
            // The pages are our own, and in a container or as root Chromium
            // starts in no other way.
            .arg("--no-sandbox")
            .arg("--remote-debugging-pipe")
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(its_remarks)
            .process_group(0)
            .fd_mappings(vec![
                FdMapping {
                    parent_fd: its_requests.into(),
                    child_fd: 3,
                },
                FdMapping {
                    parent_fd: its_answers.into(),
                    child_fd: 4,
                },
            ])?;
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        // The command still holds Chromium's ends of the pipes.
        drop(command);
        let mut chromium = Chromium {
            program: program.to_owned(),
            version: "of unknown version".to_owned(),
            child,
            ended: None,
            requests: Some(requests),
            answers: messages(answers),
            remarks: text(remarks),
            patience,
            sent: 0,
            session: None,
            _profile: profile,
        };
        let about = chromium
            .call("Browser.getVersion", json!({}))
            .with_context(|| format!("Chromium {OLDEST} or newer is needed"))?;
        let product = about["product"].as_str().unwrap_or_default();
        let version = product.split_once('/').map_or(product, |it| it.1);
        version.clone_into(&mut chromium.version);
        ensure!(
            chromium.major() >= OLDEST,
            "Chromium {version} ({}) is too old: {OLDEST} or newer is needed",
            program.display()
        );
        Ok(chromium)
    }

    /// For example `156.0.8078.108`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The first number of the version.
    pub fn major(&self) -> u32 {
        let first = self.version.split('.').next().unwrap_or_default();
        first.parse().unwrap_or(0)
    }

    /// Opens an empty page, to which all further calls go.
    ///
    /// # Errors
    /// Those of [`Chromium::call`].
    pub fn open_page(&mut self) -> Result<()> {
        let empty = json!({ "url": "about:blank" });
        let page = self.call("Target.createTarget", empty)?;
        let page = json!({ "targetId": page["targetId"], "flatten": true });
        let session = self.call("Target.attachToTarget", page)?;
        let session = session["sessionId"].as_str();
        let session = session.context("Chromium opened no page")?;
        self.session = Some(session.to_owned());
        self.call("Page.enable", json!({}))?;
        Ok(())
    }

    /// Asks for something and waits for the answer.
    ///
    /// # Errors
    /// If Chromium refuses, ends, or takes longer than its time.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.answer(method, params).map_err(|error| {
            let remarks = self.end();
            anyhow!(
                "Chromium {} ({}) does not do {method}: {error:#}{remarks}",
                self.version,
                self.program.display()
            )
        })
    }

    fn answer(&mut self, method: &str, params: Value) -> Result<Value> {
        let until = Instant::now() + self.patience;
        self.sent += 1;
        let mut request =
            json!({ "id": self.sent, "method": method, "params": params });
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        let mut message = request.to_string().into_bytes();
        message.push(0);
        if let Some(requests) = &mut self.requests {
            // All that is ever sent fits into the pipe, so this does not wait.
            // A Chromium that has ended takes nothing, and does not answer.
            let _ = requests.write_all(&message);
        }
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let mut answer = match self.answers.recv_timeout(left) {
                Ok(answer) => answer?,
                Err(RecvTimeoutError::Timeout) => {
                    bail!("no answer within {:?}", self.patience)
                }
                Err(RecvTimeoutError::Disconnected) => bail!("it has ended"),
            };
            if answer["id"] != self.sent {
                continue; // an event, of which nothing depends here
            }
            if let Some(problem) = answer["error"]["message"].as_str() {
                bail!("{problem}");
            }
            let result = answer["result"].take();
            // What a script threw.
            if !result["exceptionDetails"].is_null() {
                bail!("{}", result["exceptionDetails"]);
            }
            return Ok(result);
        }
    }

    /// Lets Chromium end, and kills what does not; returns how it ended and
    /// what it said last.
    fn end(&mut self) -> String {
        self.requests.take(); // which tells it to end and to tidy up
        let said = self.remarks.recv_timeout(LEAVING.min(self.patience));
        let status = self.kill();
        let said = said.or_else(|_| self.remarks.recv_timeout(LEAVING));
        let said = said.unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        let status = match status {
            Ok(status) => status.to_string(),
            Err(error) => format!("cannot wait for it: {error}"),
        };
        format!("\n{status}\n{}", last.join("\n"))
    }

    fn kill(&mut self) -> std::io::Result<ExitStatus> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        // Not waited for yet, so the number of the group is still its own.
        if let Ok(group) = self.child.id().try_into() {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let status = self.child.wait()?;
        self.ended = Some(status);
        Ok(status)
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.end();
        }
    }
}

/// The messages that come out of `pipe`.
fn messages(pipe: PipeReader) -> Receiver<Result<Value>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for message in BufReader::new(pipe).split(0) {
            let message =
                message.context("cannot read its answer").and_then(|it| {
                    serde_json::from_slice(&it)
                        .context("cannot understand its answer")
                });
            if sender.send(message).is_err() {
                break;
            }
        }
    });
    receiver
}

/// All that comes out of `pipe`, at its end.
fn text(mut pipe: PipeReader) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}
