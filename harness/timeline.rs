//! Timelines: who starts, tells, signals and waits for whom, drawn from a
//! small file of events.
//!
//! Time runs downwards, one event a row, and each process is a column. So a
//! figure stays as narrow as a telephone, and its text as large as the
//! page's.

use std::collections::HashMap;
use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// Everything is in the units of the viewBox: at the width of a telephone,
/// one unit is about one CSS pixel.
const WIDTH: f32 = 380.0;
const TOP: f32 = 40.0;
const ROW: f32 = 34.0;
const BAR: f32 = 10.0;

/// Wide enough for a letter of the figures' 14-unit font, on average.
const LETTER: f32 = 7.4;

/// The file of events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeline {
    /// What the figure shows, in one sentence without a period.
    pub title: String,
    /// The processes by role, from left to right. The first exists from the
    /// start.
    pub lanes: Vec<String>,
    #[serde(rename = "event")]
    pub events: Vec<Event>,
}

/// One row of the figure.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Event {
    /// `from` starts `to`.
    Start {
        from: String,
        to: String,
        label: Option<String>,
    },
    /// Bytes through a pipe, a socket or shared memory.
    Message {
        from: String,
        to: String,
        label: String,
    },
    /// `from` closes its end, and `to` reads the end of file.
    Close {
        from: String,
        to: String,
        label: Option<String>,
    },
    /// A signal.
    Signal {
        from: String,
        to: String,
        label: String,
    },
    /// `lane` blocks until the next row in which something reaches it.
    Wait { lane: String, label: Option<String> },
    /// `lane` does something that no other process sees.
    Work { lane: String, label: String },
    /// `lane` ends.
    Exit { lane: String, label: String },
    /// `to` collects the exit status of `from`.
    Reap {
        from: String,
        to: String,
        label: Option<String>,
    },
}

impl Event {
    fn lanes(&self) -> (&str, Option<&str>) {
        match self {
            Event::Start { from, to, .. }
            | Event::Message { from, to, .. }
            | Event::Close { from, to, .. }
            | Event::Signal { from, to, .. }
            | Event::Reap { from, to, .. } => (from, Some(to)),
            Event::Wait { lane, .. }
            | Event::Work { lane, .. }
            | Event::Exit { lane, .. } => (lane, None),
        }
    }

    /// The text beside the row.
    fn label(&self) -> &str {
        match self {
            Event::Message { label, .. }
            | Event::Signal { label, .. }
            | Event::Work { label, .. }
            | Event::Exit { label, .. } => label,
            Event::Start { label, .. } => label.as_deref().unwrap_or("starts"),
            Event::Close { label, .. } => label.as_deref().unwrap_or("closes"),
            Event::Wait { label, .. } => label.as_deref().unwrap_or("waits"),
            Event::Reap { label, .. } => label.as_deref().unwrap_or("reaped"),
        }
    }

    /// The row as a sentence, for readers who do not see the figure.
    fn sentence(&self) -> String {
        match self {
            Event::Start { from, to, .. } => format!("{from} starts {to}."),
            Event::Message { from, to, label } => {
                format!("{from} sends {to}: {label}.")
            }
            Event::Close { from, to, .. } => {
                format!("{from} closes its end, {to} reads the end of file.")
            }
            Event::Signal { from, to, label } => {
                format!("{from} sends the signal {label} to {to}.")
            }
            Event::Wait { lane, label } => match label {
                Some(label) => format!("{lane} waits: {label}."),
                None => format!("{lane} waits."),
            },
            Event::Work { lane, label } => format!("{lane}: {label}."),
            Event::Exit { lane, label } => format!("{lane} ends: {label}."),
            Event::Reap { from, to, .. } => {
                format!("{to} collects the exit status of {from}.")
            }
        }
    }
}

/// Reads a file of events.
///
/// # Errors
/// If it is not TOML of the form of [`Timeline`].
pub fn parse(text: &str) -> Result<Timeline> {
    toml::from_str(text).context("not a timeline")
}

/// What happens in one lane, by rows.
#[derive(Default)]
struct Life {
    start: f32,
    end: Option<f32>,
    waits: Vec<(f32, f32)>,
}

/// Draws a timeline as inline SVG. `name` makes its ids unique in the book.
///
/// # Errors
/// If an event names an unknown lane, involves a process that has not started
/// or has ended, or has a label that does not fit.
pub fn draw(timeline: &Timeline, name: &str) -> Result<String> {
    let figure = Figure::new(timeline)?;
    let lives = figure.lives()?;
    let height = figure.y(timeline.events.len()) - ROW / 2.0 + 6.0;
    let sentences: Vec<_> =
        timeline.events.iter().map(Event::sentence).collect();
    let mut svg = format!(
        "<svg class=\"timeline\" role=\"img\" viewBox=\"0 0 {WIDTH} {height}\" \
         aria-labelledby=\"timeline-{name}-title\" \
         aria-describedby=\"timeline-{name}-desc\">\n\
         <title id=\"timeline-{name}-title\">{}</title>\n\
         <desc id=\"timeline-{name}-desc\">{}</desc>\n",
        escape(&timeline.title),
        escape(&sentences.join(" ")),
    );
    for (lane, life) in timeline.lanes.iter().zip(&lives) {
        figure.lane(&mut svg, lane, life, height)?;
    }
    for (row, event) in timeline.events.iter().enumerate() {
        figure
            .row(&mut svg, row, event)
            .with_context(|| format!("event {}", row + 1))?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

struct Figure<'a> {
    timeline: &'a Timeline,
    columns: HashMap<&'a str, usize>,
}

impl<'a> Figure<'a> {
    fn new(timeline: &'a Timeline) -> Result<Figure<'a>> {
        let lanes = timeline.lanes.iter().map(String::as_str);
        let columns: HashMap<_, _> = lanes
            .enumerate()
            .map(|(index, lane)| (lane, index))
            .collect();
        ensure!(
            columns.len() == timeline.lanes.len() && !columns.is_empty(),
            "each lane has a name of its own"
        );
        Ok(Figure { timeline, columns })
    }

    fn column(&self, lane: &str) -> Result<usize> {
        let column = self.columns.get(lane).copied();
        column.with_context(|| {
            format!(
                "{lane:?} is no lane; the lanes are {:?}",
                self.timeline.lanes
            )
        })
    }

    fn x(&self, lane: &str) -> Result<f32> {
        let lanes = self.timeline.lanes.len() as f32;
        let room = (WIDTH / lanes).min(150.0);
        let left = (WIDTH - room * lanes) / 2.0;
        Ok(left + room * (self.column(lane)? as f32 + 0.5))
    }

    fn y(&self, row: usize) -> f32 {
        TOP + ROW * (row as f32 + 0.5)
    }

    /// When each process lives and waits.
    fn lives(&self) -> Result<Vec<Life>> {
        let mut lives: Vec<Option<Life>> = Vec::new();
        lives.resize_with(self.timeline.lanes.len(), || None);
        lives[0] = Some(Life {
            start: TOP,
            ..Life::default()
        });
        let mut waiting: HashMap<usize, f32> = HashMap::new();
        for (row, event) in self.timeline.events.iter().enumerate() {
            let y = self.y(row);
            let (from, to) = event.lanes();
            let from = self.column(from)?;
            let to = to.map(|to| self.column(to)).transpose()?;
            if let (Event::Start { .. }, Some(to)) = (event, to) {
                ensure!(
                    lives[to].is_none(),
                    "event {} starts it twice",
                    row + 1
                );
                lives[to] = Some(Life {
                    start: y,
                    ..Life::default()
                });
            }
            let life = lives[from].as_mut();
            let life = life.with_context(|| {
                format!(
                    "event {}: {:?} has not started",
                    row + 1,
                    event.lanes().0
                )
            })?;
            let reaped = matches!(event, Event::Reap { .. });
            ensure!(
                life.end.is_none() || reaped,
                "event {}: {:?} has ended",
                row + 1,
                event.lanes().0
            );
            // Whatever a waiting process does next, or gets, ends its wait.
            let touched = match reaped {
                true => [to, None],
                false => [Some(from), to],
            };
            for lane in touched.into_iter().flatten() {
                if let Some(since) = waiting.remove(&lane)
                    && let Some(life) = &mut lives[lane]
                {
                    life.waits.push((since, y));
                }
            }
            match event {
                Event::Wait { .. } => {
                    waiting.insert(from, y);
                }
                Event::Exit { .. } => {
                    if let Some(life) = &mut lives[from] {
                        life.end = Some(y);
                    }
                }
                _ => {}
            }
        }
        lives
            .into_iter()
            .zip(&self.timeline.lanes)
            .map(|(life, lane)| {
                life.with_context(|| format!("{lane:?} is never started"))
            })
            .collect()
    }

    fn lane(
        &self,
        svg: &mut String,
        lane: &str,
        life: &Life,
        height: f32,
    ) -> Result<()> {
        let x = self.x(lane)?;
        let room = WIDTH / self.timeline.lanes.len() as f32;
        fits(lane, room)?;
        writeln!(
            svg,
            "<text class=\"tl-lane\" x=\"{x}\" y=\"20\" \
             text-anchor=\"middle\">{}</text>",
            escape(lane)
        )?;
        let end = life.end.unwrap_or(height);
        let (left, long) = (x - BAR / 2.0, end - life.start);
        writeln!(
            svg,
            "<rect class=\"tl-run\" x=\"{left}\" y=\"{}\" width=\"{BAR}\" \
             height=\"{long}\"/>",
            life.start
        )?;
        for (since, until) in &life.waits {
            writeln!(
                svg,
                "<rect class=\"tl-wait\" x=\"{left}\" y=\"{since}\" \
                 width=\"{BAR}\" height=\"{}\"/>",
                until - since
            )?;
        }
        Ok(())
    }

    fn row(&self, svg: &mut String, row: usize, event: &Event) -> Result<()> {
        let y = self.y(row);
        match event.lanes() {
            (from, Some(to)) => self.arrow(svg, y, event, from, to),
            (lane, None) => self.mark(svg, y, event, lane),
        }
    }

    fn arrow(
        &self,
        svg: &mut String,
        y: f32,
        event: &Event,
        from: &str,
        to: &str,
    ) -> Result<()> {
        let (start, end) = (self.x(from)?, self.x(to)?);
        if start == end {
            bail!("{from:?} cannot reach itself");
        }
        let toward = (end - start).signum();
        let class = match event {
            Event::Start { .. } => "tl-start",
            Event::Signal { .. } => "tl-signal",
            Event::Close { .. } => "tl-close",
            Event::Reap { .. } => "tl-reap",
            _ => "tl-message",
        };
        let (tail, tip) =
            (start + toward * BAR / 2.0, end - toward * BAR / 2.0);
        let neck = tip - toward * 9.0;
        writeln!(
            svg,
            "<path class=\"tl-arrow {class}\" d=\"M{tail} {y}H{neck}\"/>"
        )?;
        let (upper, lower) = (y - 5.0, y + 5.0);
        match event {
            // The end of file: a pipe that is cut off.
            Event::Close { .. } => writeln!(
                svg,
                "<path class=\"tl-arrow tl-cut\" d=\"M{neck} {upper}V{lower}\"/>"
            )?,
            _ => writeln!(
                svg,
                "<path class=\"tl-head {class}\" d=\"M{tip} {y}L{neck} {upper}V{lower}Z\"/>"
            )?,
        }
        let middle = (start + end) / 2.0;
        let reach = 2.0 * middle.min(WIDTH - middle);
        self.text(svg, event.label(), middle, y - 7.0, "middle", reach)
    }

    fn mark(
        &self,
        svg: &mut String,
        y: f32,
        event: &Event,
        lane: &str,
    ) -> Result<()> {
        let x = self.x(lane)?;
        match event {
            Event::Exit { .. } => writeln!(
                svg,
                "<rect class=\"tl-exit\" x=\"{}\" y=\"{}\" width=\"16\" \
                 height=\"6\"/>",
                x - 8.0,
                y - 3.0
            )?,
            Event::Work { .. } => writeln!(
                svg,
                "<circle class=\"tl-work\" cx=\"{x}\" cy=\"{y}\" r=\"4\"/>"
            )?,
            _ => {}
        }
        // The last lane has its text on the left, where there is room.
        let last = self.column(lane)? + 1 == self.timeline.lanes.len()
            && self.timeline.lanes.len() > 1;
        let (start, anchor, room) = match last {
            true => (x - 14.0, "end", x - 14.0),
            false => (x + 14.0, "start", WIDTH - x - 14.0),
        };
        self.text(svg, event.label(), start, y + 5.0, anchor, room)
    }

    fn text(
        &self,
        svg: &mut String,
        text: &str,
        x: f32,
        y: f32,
        anchor: &str,
        room: f32,
    ) -> Result<()> {
        fits(text, room)?;
        writeln!(
            svg,
            "<text class=\"tl-label\" x=\"{x}\" y=\"{y}\" \
             text-anchor=\"{anchor}\">{}</text>",
            escape(text)
        )?;
        Ok(())
    }
}

fn fits(text: &str, room: f32) -> Result<()> {
    let needed = text.chars().count() as f32 * LETTER;
    ensure!(
        needed <= room,
        "{text:?} is too long: there is room for {} letters",
        (room / LETTER) as usize
    );
    Ok(())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
