//! Telling a rendered chat's turns from the markers around them.

use super::{ChatPart, Message};
use crate::Result;

/// Renders the chat once with a stand-in for every content: what lies around the stand-ins is the template's own.
///
/// Searching the real rendering for the contents would not do: "user" is a content too. `None` when the template's own
/// text is not the same with the stand-ins as with the contents.
pub(super) fn split(
    messages: &[Message],
    render: impl Fn(&[Message]) -> Result<String>,
) -> Result<Option<Vec<ChatPart>>> {
    let whole = render(messages)?;
    let stand_ins = stand_ins(messages);
    let hidden = |keep: Option<usize>| {
        let hide = |(i, (m, stand_in)): (usize, (&Message, &String))| {
            Message::new(&m.role, if keep == Some(i) { &m.content } else { stand_in })
        };
        messages
            .iter()
            .zip(&stand_ins)
            .enumerate()
            .map(hide)
            .collect::<Vec<_>>()
    };
    let frame = render(&hidden(None))?;
    let Some(places) = places(&frame, &stand_ins) else {
        return Ok(None);
    };
    // Most templates give the contents as they are, many without the blanks around them.
    for trim in [false, true] {
        let texts: Vec<&str> = places
            .iter()
            .map(|&(i, _)| {
                if trim {
                    messages[i].content.trim()
                } else {
                    &messages[i].content
                }
            })
            .collect();
        let parts = assemble(&frame, &places, &texts, messages, &stand_ins);
        if joined(&parts) == whole {
            return Ok(Some(parts));
        }
    }
    // Others rewrite them (leave out the reasoning of old turns): ask for each what it becomes.
    let mut texts = Vec::with_capacity(places.len());
    for &(i, at) in &places {
        let one = render(&hidden(Some(i)))?;
        let (before, after) = (&frame[..at], &frame[at + stand_ins[i].len()..]);
        match one.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)) {
            Some(text) => texts.push(text.to_owned()),
            None => return Ok(None),
        }
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let parts = assemble(&frame, &places, &texts, messages, &stand_ins);
    Ok((joined(&parts) == whole).then_some(parts))
}

/// One string for each message that occurs in none of them.
fn stand_ins(messages: &[Message]) -> Vec<String> {
    let mut nonce = 0;
    let prefix = loop {
        let prefix = format!("\u{E000}{nonce}.");
        if !messages.iter().any(|m| m.content.contains(&prefix)) {
            break prefix;
        }
        nonce += 1;
    };
    (0..messages.len()).map(|i| format!("{prefix}{i}\u{E001}")).collect()
}

/// Message index and offset of every stand-in, in the order of `frame`; a message may be left out but not repeated.
fn places(frame: &str, stand_ins: &[String]) -> Option<Vec<(usize, usize)>> {
    let mut places = Vec::with_capacity(stand_ins.len());
    for (i, stand_in) in stand_ins.iter().enumerate() {
        let mut found = frame.match_indices(stand_in.as_str());
        if let Some((at, _)) = found.next() {
            places.push((i, at));
        }
        if found.next().is_some() {
            return None;
        }
    }
    places.sort_by_key(|&(_, at)| at);
    Some(places)
}

fn assemble(
    frame: &str,
    places: &[(usize, usize)],
    texts: &[&str],
    messages: &[Message],
    stand_ins: &[String],
) -> Vec<ChatPart> {
    let mut parts = Vec::with_capacity(2 * places.len() + 1);
    let mut raw = String::new();
    let mut from = 0;
    for (&(i, at), &text) in places.iter().zip(texts) {
        raw.push_str(&frame[from..at]);
        from = at + stand_ins[i].len();
        if text.is_empty() {
            continue;
        }
        if !raw.is_empty() {
            parts.push(ChatPart::Raw(std::mem::take(&mut raw)));
        }
        parts.push(ChatPart::Content {
            role: messages[i].role.clone(),
            text: text.to_owned(),
        });
    }
    raw.push_str(&frame[from..]);
    if !raw.is_empty() {
        parts.push(ChatPart::Raw(raw));
    }
    parts
}

fn joined(parts: &[ChatPart]) -> String {
    parts.iter().map(ChatPart::text).collect()
}

impl ChatPart {
    /// The part's text.
    pub fn text(&self) -> &str {
        match self {
            Self::Raw(text) | Self::Content { text, .. } => text,
        }
    }
}
