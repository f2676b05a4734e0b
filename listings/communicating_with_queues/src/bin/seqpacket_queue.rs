// ANCHOR: all
//! Lets the kernel hand packets from producers to consumers (Linux).

#[cfg(not(target_os = "linux"))]
fn main() -> anyhow::Result<()> {
    anyhow::bail!("this program needs SEQPACKET socket pairs, as Linux has")
}

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};
    use std::process::{Child, Command, Stdio};
    use std::{env, io};

    use anyhow::{Context, Result, bail, ensure};
    use nix::sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockType, recv, socketpair,
    };

    pub fn main() -> Result<()> {
        match env::args().nth(1).as_deref() {
            None => parent(),
            Some("producer") => producer(),
            Some("consumer") => consumer(),
            Some(role) => bail!(
                "unknown role {role:?}: expected \"producer\" or \"consumer\""
            ),
        }
    }

    // ANCHOR: parent
    fn parent() -> Result<()> {
        let mut children = Vec::new();
        // If not all can be started, the others meet the end of the queue.
        let started = start_all(&mut children);
        let mut answers = String::new();
        let mut read = Ok(0);
        for child in &mut children {
            if let Some(mut output) = child.stdout.take() {
                read = read.and(output.read_to_string(&mut answers));
            }
        }
        let statuses: Vec<_> = children.iter_mut().map(Child::wait).collect();
        started?;
        read.context("cannot read the answers")?;
        for status in statuses {
            let status = status.context("cannot wait for a child")?;
            ensure!(status.success(), "a child ended with {status}");
        }
        let mut answers: Vec<_> = answers.lines().collect();
        answers.sort();
        println!("answers: {}", answers.join(" "));
        Ok(())
    }

    /// When this has returned, only the children hold the two ends.
    fn start_all(children: &mut Vec<Child>) -> Result<()> {
        let (sender, receiver) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        for _ in 0..3 {
            let input = receiver.try_clone()?;
            children.push(start(&["consumer"], input.into(), Stdio::piped())?);
        }
        for name in ["a", "b"] {
            let output = sender.try_clone()?.into();
            children.push(start(&["producer", name], Stdio::null(), output)?);
        }
        Ok(())
    }
    // ANCHOR_END: parent

    // ANCHOR: roles
    fn producer() -> Result<()> {
        let name = env::args().nth(2).context("a producer needs a name")?;
        let mut queue = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        for number in 1..=5 {
            let message = format!("{name}{number}");
            queue.write_all(message.as_bytes()).context("cannot send")?;
        }
        Ok(())
    }

    fn consumer() -> Result<()> {
        let queue: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
        let mut packet = [0; 64];
        loop {
            // With MSG_TRUNC the kernel reports a packet's full length.
            let length =
                recv(queue.as_raw_fd(), &mut packet, MsgFlags::MSG_TRUNC)
                    .context("cannot receive from standard input")?;
            if length == 0 {
                return Ok(());
            }
            let message = packet.get(..length).with_context(|| {
                format!("expected at most 64 bytes, the packet has {length}")
            })?;
            let message = std::str::from_utf8(message)?;
            writeln!(io::stdout(), "{}", message.to_uppercase())?;
        }
    }
    // ANCHOR_END: roles

    fn start(arguments: &[&str], input: Stdio, output: Stdio) -> Result<Child> {
        Command::new(env::current_exe()?)
            .args(arguments)
            .stdin(input)
            .stdout(output)
            .spawn()
            .with_context(|| format!("cannot start a {}", arguments[0]))
    }
}
// ANCHOR_END: all
