//! Chats in the common `messages` form, laid out as a session would hold them (spec sections 3 and 5).

use super::batch::{ChunkSample, Form, Sample, SampleRequest};
use super::draw::Drawer;
use super::files::{Source, names};
use super::reader::json_lines;
use super::rng::permuted;
use crate::{Error, Result};
use folio_engine::page::Tint;
use folio_engine::text::{ChatPart, ChatTemplate, Chunk, Detokenizer, Message, chunk_all};
use std::sync::Arc;

/// A line; what else it holds is of no use here.
#[derive(serde::Deserialize)]
struct Line {
    messages: Vec<Message>,
}

/// A reply and what was said before it.
#[derive(Debug)]
struct Item {
    messages: Vec<Message>,
    place: String,
}

/// Chats: every reply of the assistant is a sample of its own, with all turns before it as its prompt.
#[derive(Debug)]
pub struct Chats {
    items: Vec<Item>,
    template: Arc<ChatTemplate>,
    drawer: Drawer,
    special: Special,
    seed: u64,
}

/// Special ids of a model.
#[derive(Debug, Clone, Copy)]
pub struct Special {
    /// Starts every context; the layout writes it.
    pub bos: u32,
    /// Ends a reply.
    pub eos: Option<u32>,
}

/// How many chats in a row may be too long before that is an error.
const TRIES: u64 = 100;

impl Chats {
    /// Reads the chats of `sources`; they stay in memory as text.
    ///
    /// # Errors
    /// Files without a reply; a line that is no such object, a role that is unknown, a reply that is empty or answers
    /// nothing: file and line are named.
    pub fn open(
        sources: &[Source],
        template: Arc<ChatTemplate>,
        drawer: Drawer,
        special: Special,
        seed: u64,
    ) -> Result<Self> {
        let mut items = Vec::new();
        let expected = "\"messages\": [{\"role\", \"content\"}, …]";
        json_lines(sources, expected, &mut |_, place, Line { messages }| {
            check(&messages).map_err(|what| Error::invalid(&place, what))?;
            for (i, message) in messages.iter().enumerate() {
                if message.role == "assistant" {
                    items.push(Item {
                        messages: messages[..=i].to_vec(),
                        place: place.clone(),
                    });
                }
            }
            Ok(())
        })?;
        if items.is_empty() {
            let what = "hold no reply of an assistant: there is nothing to learn";
            return Err(Error::invalid(names(sources), what));
        }
        Ok(Self {
            items,
            template,
            drawer,
            special,
            seed,
        })
    }

    /// Number of replies.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none; [`Self::open`] refuses that.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The reply of `request`: every one once before any comes again. A chat whose prompt leaves no room in
    /// `max_tokens` gives way to the next; a reply is cut where the room ends.
    ///
    /// # Errors
    /// A chat that the template refuses; only chats that are too long.
    pub fn sample(&self, request: &SampleRequest) -> Result<Sample> {
        let n = self.items.len() as u64;
        for index in request.index..request.index + TRIES.min(n) {
            let item = permuted(index % n, n, &[self.seed, index / n]) as usize;
            if let Some(sample) = self.of(item, request)? {
                return Ok(sample);
            }
        }
        let what = format!(
            "the prompts of {} chats in a row are longer than max_tokens: raise it",
            TRIES.min(n)
        );
        Err(Error::invalid(&self.items[0].place, what))
    }

    fn of(&self, item: usize, request: &SampleRequest) -> Result<Option<Sample>> {
        let Item { messages, place } = &self.items[item];
        let named = |e: Error| Error::invalid(place, e.to_string());
        let (prompt, reply) = self.split(messages).map_err(named)?;
        let mut chunks = Vec::new();
        for part in prompt {
            self.prompt_part(&part, &mut chunks).map_err(named)?;
        }
        let before: usize = chunks.iter().map(|c| c.ids.len()).sum();
        let room = request.max_tokens.unwrap_or(usize::MAX).saturating_sub(before);
        if room < 2 {
            return Ok(None);
        }
        let tokenizer = self.drawer.tokenizer();
        let mut ids = tokenizer.encode(&reply).map_err(named)?;
        ids.extend(self.special.eos);
        ids.truncate(room);
        chunks.extend(self.reply(&ids, request.chunks));
        Ok(Some(Sample {
            kind: request.kind,
            document: item,
            start: 0,
            chunks,
        }))
    }

    /// The prompt's parts, and the reply as the model is to write it: `<think>` is kept, whatever the template makes of
    /// it in later turns.
    fn split(&self, messages: &[Message]) -> Result<(Vec<ChatPart>, String)> {
        let (reply, before) = messages.split_last().expect("checked: an item ends with its reply");
        let parts = self.template.split(before, true)?;
        let prompt: String = parts.iter().map(ChatPart::text).collect();
        let whole = self.template.render(messages, false)?;
        // What the template writes between the prompt's end and the reply is the model's to write.
        let space = whole
            .strip_prefix(&prompt)
            .map_or("", |rest| &rest[..rest.len() - rest.trim_start().len()]);
        let content = reply.content.trim_start();
        Ok((parts, format!("{space}{content}")))
    }

    /// A part of the prompt: markers stay raw, a turn becomes pages and at most a short raw tail.
    fn prompt_part(&self, part: &ChatPart, chunks: &mut Vec<ChunkSample>) -> Result<()> {
        let tokenizer = self.drawer.tokenizer();
        match part {
            ChatPart::Raw(text) => {
                let mut ids = tokenizer.encode_with_special(text)?;
                if chunks.is_empty() && ids.first() == Some(&self.special.bos) {
                    ids.remove(0);
                }
                if !ids.is_empty() {
                    chunks.push(raw(ids));
                }
            }
            ChatPart::Content { role, text } => {
                let tint = if role == "assistant" { Tint::White } else { Tint::Grey };
                let config = self.drawer.config();
                let ids = tokenizer.encode(text)?;
                let mut utf8 = Detokenizer::default();
                let (closed, tail) = self.divide(&ids);
                for chunk in closed {
                    chunks.push(self.drawer.draw(chunk, &mut utf8, tint));
                }
                if config.folds_tail(tail.ids.len()) {
                    chunks.push(self.drawer.draw(tail, &mut utf8, tint));
                } else if !tail.ids.is_empty() {
                    chunks.push(raw(tail.ids));
                }
            }
        }
        // Of a prompt nothing is learnt.
        chunks.iter_mut().for_each(|c| c.learn = false);
        Ok(())
    }

    /// What draws its pages.
    pub fn drawer(&self) -> &Drawer {
        &self.drawer
    }

    /// The reply's chunks, all folded but the last; at most `most` of them, if that is not 0.
    fn reply(&self, ids: &[u32], most: usize) -> Vec<ChunkSample> {
        let (mut parts, tail) = self.divide(ids);
        if !tail.ids.is_empty() {
            parts.push(tail);
        }
        if most > 0 {
            parts.truncate(most);
        }
        let last = parts.len().saturating_sub(1);
        let mut utf8 = Detokenizer::default();
        let form = |i| if i == last { Form::Open } else { Form::Folded };
        let draw = |(i, chunk)| ChunkSample {
            form: form(i),
            ..self.drawer.draw(chunk, &mut utf8, Tint::White)
        };
        parts.into_iter().enumerate().map(draw).collect()
    }

    /// Closed chunks, and what stays open.
    fn divide(&self, ids: &[u32]) -> (Vec<Chunk>, Chunk) {
        let tokenizer = self.drawer.tokenizer();
        let mut chunker = self.drawer.chunker(self.drawer.config().chunk_tokens);
        let closed = chunk_all(&mut chunker, ids.iter().map(|&id| (id, tokenizer.token_bytes(id))));
        (closed, chunker.close())
    }
}

fn raw(ids: Vec<u32>) -> ChunkSample {
    ChunkSample {
        ids,
        pages: Vec::new(),
        slots: 0,
        text: String::new(),
        cells: Vec::new(),
        patch_tokens: Vec::new(),
        form: Form::Raw,
        learn: false,
        given: 0,
    }
}

/// What is wrong with a chat, if anything.
fn check(messages: &[Message]) -> std::result::Result<(), String> {
    for (i, message) in messages.iter().enumerate() {
        let (number, role) = (i + 1, message.role.as_str());
        match role {
            "system" | "user" | "tool" => {}
            "assistant" if i == 0 => return Err("the first message is the assistant's: it answers nothing".to_owned()),
            "assistant" if message.content.trim().is_empty() => {
                return Err(format!("message {number}: the assistant's reply is empty"));
            }
            "assistant" => {}
            _ => {
                return Err(format!(
                    "message {number}: role \"{role}\" is none of system, user, assistant, tool"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::batch::SampleKind;
    use super::super::files::sources;
    use super::super::tests_support::tokenizer;
    use super::*;
    use folio_engine::config::{FoldConfig, preset};
    use folio_engine::page::FontStack;

    const WORDS: &str = "one two three four five six seven eight nine ten. ";

    fn config() -> FoldConfig {
        let mut config = preset("folio-nano").unwrap().fold.unwrap();
        (config.chunk_tokens, config.visual_tokens) = (24, 6);
        config
    }

    fn chats(lines: &str) -> Result<Chats> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("c.jsonl"), lines).unwrap();
        let (tokenizer, _) = tokenizer(&WORDS.repeat(20), 300);
        let drawer = Drawer::new(tokenizer, &config(), FontStack::embedded());
        let special = Special { bos: 0, eos: Some(1) };
        let template = Arc::new(ChatTemplate::plain());
        Chats::open(&sources(&[dir.path().join("c.jsonl")])?, template, drawer, special, 3)
    }

    fn line(messages: &[(&str, &str)]) -> String {
        let messages: Vec<_> = messages
            .iter()
            .map(|(role, content)| Message::new(*role, *content))
            .collect();
        serde_json::json!({ "messages": messages }).to_string()
    }

    fn request(index: u64) -> SampleRequest {
        SampleRequest {
            index,
            kind: SampleKind::Sft,
            ..SampleRequest::default()
        }
    }

    #[test]
    fn the_prompt_is_compressed_and_only_the_reply_is_learnt() {
        let (question, answer) = (WORDS.repeat(6), format!("<think>{}</think>yes", WORDS.repeat(4)));
        let chats = chats(&line(&[("user", &question), ("assistant", &answer)])).unwrap();
        let sample = chats.sample(&request(0)).unwrap();
        let tokenizer = chats.drawer.tokenizer();
        let text = |learn: bool| -> String {
            let ids: Vec<u32> = sample
                .chunks
                .iter()
                .filter(|c| c.learn == learn)
                .flat_map(|c| c.ids.clone())
                .collect();
            tokenizer.decode(&ids)
        };
        assert_eq!(text(false), format!("User: {question}\n\nAssistant:"));
        assert_eq!(text(true), format!(" {answer}"));
        let reply: Vec<_> = sample.chunks.iter().filter(|c| c.learn).collect();
        assert_eq!(reply.last().unwrap().ids.last(), Some(&1), "the reply ends with EOS");
        let forms = |learn: bool| {
            sample
                .chunks
                .iter()
                .filter(|c| c.learn == learn)
                .map(|c| c.form)
                .collect::<Vec<_>>()
        };
        assert!(reply.len() > 2);
        let (open, folded) = forms(true).split_last().map(|(l, r)| (*l, r.to_vec())).unwrap();
        assert_eq!(open, Form::Open);
        assert!(folded.iter().all(|f| *f == Form::Folded));
        let prompt = forms(false);
        assert_eq!((prompt[0], *prompt.last().unwrap()), (Form::Raw, Form::Raw));
        assert!(prompt.iter().filter(|f| **f == Form::Page).count() >= 3, "{prompt:?}");
        // Grey for what the user says, white for the reply: their corners tell.
        let corner = |learn: bool| {
            sample
                .chunks
                .iter()
                .find(|c| c.learn == learn && c.slots > 0)
                .unwrap()
                .pages
                .iter()
                .max()
                .copied()
        };
        assert_eq!((corner(false), corner(true)), (Some(Tint::Grey.value()), Some(255)));
    }

    #[test]
    fn a_short_tail_stays_raw_and_a_long_one_becomes_a_page() {
        let forms = |question: &str| {
            let chats = chats(&line(&[("user", question), ("assistant", "yes")])).unwrap();
            let sample = chats.sample(&request(0)).unwrap();
            sample.chunks.iter().map(|c| (c.form, c.ids.len())).collect::<Vec<_>>()
        };
        let short = forms("one two");
        assert!(
            short.iter().all(|(form, _)| matches!(form, Form::Raw | Form::Open)),
            "{short:?}"
        );
        let long = forms("one two three four five six seven eight");
        assert!(long.iter().any(|(form, n)| *form == Form::Page && *n > 6), "{long:?}");
    }

    #[test]
    fn every_reply_is_a_sample_and_limits_hold() {
        let turns = [
            ("user", "one"),
            ("assistant", "two six seven"),
            ("user", "three"),
            ("assistant", "four five"),
        ];
        let chats = chats(&line(&turns)).unwrap();
        assert_eq!(chats.len(), 2);
        let texts: Vec<String> = (0..2)
            .map(|i| {
                let sample = chats.sample(&request(i)).unwrap();
                let ids: Vec<u32> = sample
                    .chunks
                    .iter()
                    .filter(|c| c.learn)
                    .flat_map(|c| c.ids.clone())
                    .collect();
                chats.drawer.tokenizer().decode(&ids)
            })
            .collect();
        assert!(
            texts.contains(&" two six seven".to_owned()) && texts.contains(&" four five".to_owned()),
            "{texts:?}"
        );
        let tokens = |max_tokens| {
            let cut = SampleRequest {
                max_tokens,
                ..request(0)
            };
            chats.sample(&cut).unwrap().tokens()
        };
        let whole = tokens(None);
        assert_eq!(tokens(Some(whole - 1)), whole - 1);
        let none = SampleRequest {
            max_tokens: Some(1),
            ..request(0)
        };
        assert!(chats.sample(&none).unwrap_err().to_string().contains("max_tokens"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| chats(text).unwrap_err().to_string();
        let good = line(&[("user", "one"), ("assistant", "two")]);
        let bad = error(&format!("{good}\n{}", line(&[("user", "x"), ("robot", "y")])));
        assert!(bad.contains("line 2") && bad.contains("robot"), "{bad}");
        assert!(error(&line(&[("assistant", "x")])).contains("answers nothing"));
        assert!(error(&line(&[("user", "x"), ("assistant", " ")])).contains("empty"));
        assert!(error("{\"text\": \"x\"}").contains("messages"));
        let none = error(&line(&[("user", "x")]));
        assert!(none.contains("c.jsonl: hold no reply"), "{none}");
    }
}
