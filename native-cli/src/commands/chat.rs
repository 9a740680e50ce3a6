//! `folio chat`.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use folio_engine::session::{ContextMode, FinishReason, PartKind, Session, Settings};
use folio_engine::text::{ChatPart, ChatTemplate, Message};

use crate::files::{PageFolder, Pending};
use crate::listener::{Listener, summary};
use crate::model::{Model, ModelArgs, Wish, check_device};
use crate::sampling::{SamplingArgs, defaults};
use crate::{interrupt, output};

/// Talk with the model, turn by turn.
///
/// One line of stdin is one turn; end of input (Ctrl-D) or /quit ends the talk. Ctrl-C ends the reply that is being
/// written. Every turn is chunked by itself: long turns fold into pages, the marks between turns stay text.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  folio chat --model DIR --system \"Answer briefly.\"
  printf 'Hello\\nAnd now?\\n' | folio chat --model DIR --temperature 0")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// What the model is told before the first turn.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Most tokens of one reply.
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 512)]
    max_new_tokens: usize,
    /// Keep everything as text instead of folding.
    #[arg(long)]
    full: bool,
    /// Read the N pages that have most in common with what was written last again as text, for each chunk of a reply; 0 is off.
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 0,
        conflicts_with = "full"
    )]
    unfold: usize,
    #[command(flatten, next_help_heading = "Sampling")]
    sampling: SamplingArgs,
    /// Write figures of the whole talk as JSON.
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    stats: Option<PathBuf>,
    /// Write every folded page as page_00000.png, …
    #[arg(long, value_name = "DIR", help_heading = "Files")]
    pages: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    args.sampling.check()?;
    check_device(args.model.device)?;
    interrupt::watch()?;
    let stats_file = args.stats.as_deref().map(Pending::open).transpose()?;
    let model = Model::open(&args.model)?;
    let template = ChatTemplate::load(&model.dir)?;
    let pages = args.pages.as_deref().map(PageFolder::create).transpose()?;
    let base = Settings {
        sampling: defaults(&model.dir)?,
        max_new_tokens: args.max_new_tokens,
        unfold: args.unfold,
        ..Settings::default()
    };
    let mut settings = args.sampling.over(base)?;
    if template.is_plain() {
        if !args.model.quiet {
            eprintln!("note: this model has no chat template, so it was hardly made for talking");
        }
        settings.stop.push("\nUser:".into());
    }
    let mode = if args.full {
        ContextMode::Full
    } else {
        ContextMode::Folded
    };
    let runner = model.runner(&args.model, Wish::default())?;
    let mut session = Session::new(runner, model.tokenizer.clone(), model.fonts.clone(), mode, settings)?;
    let mut listener = Listener::new(pages, args.model.quiet);
    let mut talk = Talk {
        template,
        messages: Vec::new(),
        said: String::new(),
    };
    if let Some(system) = &args.system {
        talk.messages.push(Message::new("system", system));
    }
    let (mut last, mut first) = (None, true);
    while let Some(line) = read_turn()? {
        for part in talk.user(&line)? {
            // A session that started with BOS needs none of the template.
            let drop_bos = std::mem::take(&mut first) && session.tokens().first() == Some(&model.config.bos_token_id);
            push(&mut session, &model, part, drop_bos)?;
        }
        session.resume(args.max_new_tokens);
        let ending = listener.listen(&mut session)?;
        interrupt::clear();
        output::print("\n")?;
        talk.assistant(&ending.text);
        let full = ending.reason == FinishReason::ContextFull;
        last = Some(ending.stats);
        if full {
            eprintln!("the context is full: the talk ends here");
            break;
        }
    }
    if let Some(mut stats) = last {
        stats.model = model.name();
        if let Some(file) = stats_file {
            file.commit(output::pretty(&stats)?.as_bytes())?;
        }
        if !args.model.quiet {
            eprintln!("{}", summary(&stats));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The next turn of the user; `None` at the end.
fn read_turn() -> anyhow::Result<Option<String>> {
    let terminal = std::io::stdin().is_terminal();
    loop {
        if terminal {
            eprint!("> ");
            std::io::stderr().flush().ok();
        }
        let mut line = String::new();
        let n =
            interrupt::while_waiting(|| std::io::stdin().lock().read_line(&mut line)).context("cannot read stdin")?;
        let text = line.trim_end_matches(['\r', '\n']);
        match text.trim() {
            _ if n == 0 => return Ok(None),
            "/quit" => return Ok(None),
            "" => {}
            _ => return Ok(Some(text.to_owned())),
        }
    }
}

fn push(session: &mut Session, model: &Model, part: ChatPart, drop_bos: bool) -> anyhow::Result<()> {
    let (kind, ids) = match part {
        ChatPart::Raw(text) => (PartKind::Raw, model.tokenizer.encode_with_special(&text)?),
        ChatPart::Content { text, .. } => (PartKind::Turn, model.tokenizer.encode(&text)?),
    };
    let bos = model.config.bos_token_id;
    let ids = if drop_bos && kind == PartKind::Raw && ids.first() == Some(&bos) {
        ids[1..].to_vec()
    } else {
        ids
    };
    Ok(session.push(kind, ids)?)
}

/// What was said, and how much of it the session has.
struct Talk {
    template: ChatTemplate,
    messages: Vec<Message>,
    /// The template's text that the session has read or written.
    said: String,
}

impl Talk {
    /// Adds a turn of the user; gives the parts that the session has not read yet.
    fn user(&mut self, text: &str) -> anyhow::Result<Vec<ChatPart>> {
        self.messages.push(Message::new("user", text));
        let parts = self.template.split(&self.messages, true)?;
        let whole: String = parts.iter().map(text_of).collect();
        let new = if whole.starts_with(&self.said) {
            after(parts, self.said.len())
        } else {
            // The template changed the reply (trimmed it, left out its reasoning): go on behind it.
            let reply = |p: &ChatPart| matches!(p, ChatPart::Content { role, .. } if role == "assistant");
            match parts.iter().rposition(reply) {
                Some(at) => parts[at + 1..].to_vec(),
                None => bail!("this chat template rewrites what was said before, which a folded context cannot follow"),
            }
        };
        self.said = whole;
        Ok(new)
    }

    fn assistant(&mut self, text: &str) {
        self.messages.push(Message::new("assistant", text));
        self.said += text;
    }
}

fn text_of(part: &ChatPart) -> &str {
    match part {
        ChatPart::Raw(text) | ChatPart::Content { text, .. } => text,
    }
}

/// `parts` without their first `skip` bytes.
fn after(parts: Vec<ChatPart>, mut skip: usize) -> Vec<ChatPart> {
    let mut out = Vec::new();
    for part in parts {
        let text = text_of(&part);
        let cut = skip.min(text.len());
        skip -= cut;
        match (text.get(cut..), part.clone()) {
            (None | Some(""), _) => {}
            (Some(rest), ChatPart::Raw(_)) => out.push(ChatPart::Raw(rest.to_owned())),
            (Some(rest), ChatPart::Content { role, .. }) => {
                out.push(ChatPart::Content {
                    role,
                    text: rest.to_owned(),
                });
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(parts: &[ChatPart]) -> String {
        parts.iter().map(text_of).collect()
    }

    #[test]
    fn only_what_is_new_is_read() {
        let mut talk = Talk {
            template: ChatTemplate::plain(),
            messages: Vec::new(),
            said: String::new(),
        };
        assert_eq!(joined(&talk.user("one").unwrap()), "User: one\n\nAssistant:");
        talk.assistant(" two");
        let parts = talk.user("three").unwrap();
        assert!(joined(&parts).ends_with("User: three\n\nAssistant:"), "{parts:?}");
        assert!(!joined(&parts).contains("two"));
        talk.assistant("");
        let parts = talk.user("four").unwrap();
        assert!(
            joined(&parts).ends_with("User: four\n\nAssistant:") && !joined(&parts).contains("three"),
            "{parts:?}"
        );
    }
}
