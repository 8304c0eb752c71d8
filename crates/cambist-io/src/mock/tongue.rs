//! Which language a text seems to be in, cheaply.

/// Function words that tell languages of the Latin script apart.
const LATIN: [(&str, &[&str]); 10] = [
    ("en", &["the", "of", "and", "is", "what", "how", "to", "in", "a", "for", "are", "you", "please", "write"]),
    (
        "de",
        &["der", "die", "das", "und", "ist", "nicht", "ein", "eine", "wie", "was", "zu", "mit", "für", "von", "den"],
    ),
    (
        "fr",
        &["le", "la", "les", "et", "est", "un", "une", "des", "que", "pour", "dans", "du", "quel", "comment", "qui"],
    ),
    ("es", &["el", "la", "los", "y", "es", "un", "una", "que", "para", "en", "qué", "cómo", "del", "por", "las"]),
    ("pt", &["o", "os", "e", "é", "um", "uma", "que", "para", "em", "não", "do", "da", "como", "os", "por"]),
    ("it", &["il", "lo", "gli", "e", "è", "un", "una", "che", "per", "di", "della", "come", "cosa", "del", "sono"]),
    ("nl", &["de", "het", "een", "en", "is", "van", "wat", "hoe", "niet", "voor", "op", "zijn", "je", "dat"]),
    ("tr", &["bir", "ve", "bu", "için", "ne", "ile", "nasıl", "mi", "çok", "olan", "da", "de", "nedir"]),
    ("id", &["yang", "dan", "di", "itu", "untuk", "dengan", "apa", "adalah", "bagaimana", "ini", "dari", "tidak"]),
    ("pl", &["i", "w", "na", "jest", "nie", "się", "co", "jak", "do", "z", "to", "czy", "dla", "oraz"]),
];

/// Returns the language that `text` seems to be in; none when it has no letters of a script that is known.
///
/// Scripts decide first; the letters ы and і tell Russian from Ukrainian, function words and a few letters tell
/// languages of the Latin script apart, English where nothing does.
pub(crate) fn guess(text: &str) -> Option<&'static str> {
    let mut letters = [0usize; 7];
    let mut marks = Marks::default();
    for c in text.chars().take(4000) {
        if let Some(script) = script(c) {
            letters[script] += if script >= 4 { 3 } else { 1 };
        }
        marks.note(c);
    }
    let most = (0..7).max_by_key(|script| (letters[*script], 7 - script)).filter(|script| letters[*script] > 0)?;
    Some(match most {
        0 => latin(text, &marks),
        1 if marks.ukrainian > marks.russian => "uk",
        1 => "ru",
        2 if marks.persian > 0 => "fa",
        2 => "ar",
        3 => "hi",
        6 => "ko",
        // Kana stands in every Japanese text, and Han alone is Chinese.
        _ if letters[5] * 8 > letters[4] => "ja",
        _ => "zh",
    })
}

/// The script of a letter: Latin, Cyrillic, Arabic, Devanagari, Han, kana, Hangul.
fn script(c: char) -> Option<usize> {
    match c {
        'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => Some(0),
        '\u{400}'..='\u{52f}' => Some(1),
        '\u{600}'..='\u{6ff}' | '\u{750}'..='\u{77f}' => Some(2),
        '\u{900}'..='\u{97f}' => Some(3),
        '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}' => Some(4),
        '\u{3040}'..='\u{30ff}' => Some(5),
        '\u{ac00}'..='\u{d7a3}' | '\u{1100}'..='\u{11ff}' => Some(6),
        _ => None,
    }
}

#[derive(Default)]
struct Marks {
    ukrainian: usize,
    russian: usize,
    persian: usize,
    vietnamese: usize,
    turkish: usize,
    polish: usize,
}

impl Marks {
    fn note(&mut self, c: char) {
        match c {
            'і' | 'ї' | 'є' | 'ґ' | 'І' | 'Ї' | 'Є' => self.ukrainian += 1,
            'ы' | 'э' | 'ё' | 'ъ' => self.russian += 1,
            'پ' | 'چ' | 'ژ' | 'گ' | 'ی' | 'ک' => self.persian += 1,
            '\u{1ea0}'..='\u{1ef9}' | 'ơ' | 'ư' | 'đ' => self.vietnamese += 1,
            'ı' | 'ğ' | 'ş' | 'İ' => self.turkish += 1,
            'ł' | 'ą' | 'ę' | 'ż' | 'ś' | 'ź' | 'ń' | 'ć' => self.polish += 1,
            _ => {}
        }
    }
}

fn latin(text: &str, marks: &Marks) -> &'static str {
    if marks.vietnamese > 1 {
        return "vi";
    }
    let mut votes = [0usize; LATIN.len()];
    let words = text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    for word in words.take(120) {
        let word = word.to_lowercase();
        for (vote, (_, known)) in votes.iter_mut().zip(&LATIN) {
            *vote += usize::from(known.contains(&word.as_str()));
        }
    }
    votes[7] += 2 * marks.turkish;
    votes[9] += 2 * marks.polish;
    let most = (0..LATIN.len()).max_by_key(|language| (votes[*language], LATIN.len() - language)).unwrap_or(0);
    LATIN[most].0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::{
        draw::Draw,
        prose::{PHRASES, Theme, write},
    };

    #[test]
    fn own_prose_is_recognised() {
        for phrases in &PHRASES {
            let text = write(Theme { phrases, topics: &[], quality: 0.5 }, 300, Draw::new(1));
            assert_eq!(guess(&text), Some(phrases.tag), "{text}");
        }
    }

    #[test]
    fn short_questions_are_recognised() {
        let questions = [
            ("en", "What is the capital of France?"),
            ("de", "Was ist die Hauptstadt von Frankreich?"),
            ("fr", "Quelle est la capitale de la France ?"),
            ("es", "¿Cuál es la capital de Francia y qué ver en la ciudad?"),
            ("pt", "Qual é a capital da França e o que fazer em um dia?"),
            ("tr", "Fransa'nın başkenti nedir?"),
            ("vi", "Thủ đô của nước Pháp là gì?"),
            ("ru", "Какая столица у Франции?"),
            ("uk", "Яка столиця Франції?"),
            ("ar", "ما هي عاصمة فرنسا؟"),
            ("hi", "फ्रांस की राजधानी क्या है?"),
            ("ja", "フランスの首都はどこですか？"),
            ("ko", "프랑스의 수도는 어디입니까?"),
            ("zh", "法国的首都是哪里？"),
        ];
        for (tag, question) in questions {
            assert_eq!(guess(question), Some(tag), "{question}");
        }
        assert_eq!(guess("12 + 30 = ?"), None);
    }
}
