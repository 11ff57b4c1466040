//! A document's parts, each with the line it stands on.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A document.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its path in the project.
    pub name: String,
    /// Blocks of code, in their order.
    pub blocks: Vec<Block>,
    /// Code in the prose.
    pub spans: Vec<Span>,
    /// Links and pictures.
    pub links: Vec<Link>,
    /// What links into this page can name.
    pub anchors: Vec<String>,
}

/// A block of code.
#[derive(Clone, Debug)]
pub struct Block {
    /// What stands behind the fence; nothing for a block without one.
    pub language: String,
    /// What is in it.
    pub text: String,
    /// `PAGE:LINE`, for people.
    pub place: String,
    /// Where its text stands in the page.
    pub range: Range<usize>,
}

/// Code in the prose.
#[derive(Clone, Debug)]
pub struct Span {
    /// The code.
    pub text: String,
    /// `PAGE:LINE`, for people.
    pub place: String,
}

/// A link, or a picture.
#[derive(Clone, Debug)]
pub struct Link {
    /// Where to, as written.
    pub target: String,
    /// `PAGE:LINE`, for people.
    pub place: String,
}

impl Page {
    /// Takes a document apart.
    #[must_use]
    pub fn of(name: &str, text: &str) -> Self {
        let mut page = Self {
            name: name.to_owned(),
            blocks: Vec::new(),
            spans: Vec::new(),
            links: Vec::new(),
            anchors: Vec::new(),
        };
        let mut heading: Option<String> = None;
        let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES;
        for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
            let place = || {
                let line = text[..range.start].matches('\n').count() + 1;
                format!("{name}:{line}")
            };
            match event {
                Event::Start(Tag::CodeBlock(kind)) => page.blocks.push(Block {
                    language: match kind {
                        CodeBlockKind::Fenced(language) => language.to_string(),
                        CodeBlockKind::Indented => String::new(),
                    },
                    text: String::new(),
                    place: place(),
                    range: range.end..range.end,
                }),
                Event::Text(words) => match (&mut heading, page.blocks.last_mut()) {
                    (Some(heading), _) => heading.push_str(&words),
                    (None, Some(block)) if range.end <= block.range.end => {
                        block.range.start = block.range.start.min(range.start);
                        block.text.push_str(&words);
                    }
                    _ => {}
                },
                Event::End(TagEnd::CodeBlock) => {
                    if let Some(block) = page.blocks.last_mut() {
                        block.range.end = block.range.start + block.text.len();
                    }
                }
                Event::Code(code) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&code);
                    }
                    page.spans.push(Span {
                        text: code.to_string(),
                        place: place(),
                    });
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(Link {
                        target: dest_url.to_string(),
                        place: place(),
                    });
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    page.anchors
                        .extend(heading.take().map(|words| anchor(&words)));
                }
                _ => {}
            }
        }
        page
    }
}

/// What GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            _ => letter.is_alphanumeric().then_some(letter),
        })
        .collect()
}
