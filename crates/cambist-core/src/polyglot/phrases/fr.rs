//! French.

use super::{Phrases, Spelling};

/// The whole of it: order and meaning of the fields are those of [`Phrases`].
pub(super) const PHRASES: Phrases = Phrases {
    tag: "fr",
    other_locales: &[],
    comma: ", ",
    full_stop: ".",
    numerals: [
        "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze", "treize",
        "quatorze", "quinze", "seize", "dix-sept", "dix-huit", "dix-neuf", "vingt",
    ],
    plus: " plus ",
    minus: " moins ",
    spellings: &[],
    date_spellings: &[Spelling::Start("1 ", "1er ")],
    copy_words: ["Répète\u{a0}: {words}", "Recopie ces mots\u{a0}: {words}", "Dis exactement ceci\u{a0}: {words}"],
    reverse_digits: [
        "Inverse les chiffres\u{a0}: {digits}",
        "Écris {digits} à l’envers",
        "Les chiffres en ordre inverse\u{a0}: {digits}",
    ],
    date_long: [
        "Écris la date en entier\u{a0}: {date}",
        "Comment écrit-on cette date\u{a0}? {date}",
        "{date} sous forme de date longue",
    ],
    number_format: [
        "Mets en forme le nombre\u{a0}: {number}",
        "Écris {number} avec des séparateurs",
        "Groupe les chiffres\u{a0}: {number}",
    ],
    percent_format: [
        "Écris {number} en pourcentage",
        "En pourcentage\u{a0}: {number}",
        "Quel pourcentage représente {number}\u{a0}?",
    ],
    currency_format: [
        "Mets en forme le montant\u{a0}: {amount}",
        "Écris le prix avec son symbole\u{a0}: {amount}",
        "Comment s’écrit ce prix\u{a0}? {amount}",
    ],
    join_list: [
        "Réunis en une énumération\u{a0}: {items}",
        "Énumère avec «\u{a0}et\u{a0}»\u{a0}: {items}",
        "Écris sous forme d’énumération\u{a0}: {items}",
    ],
    country_names: [
        "Quels sont ces pays\u{a0}? {codes}",
        "Nomme les pays\u{a0}: {codes}",
        "Noms des pays\u{a0}: {codes}",
    ],
    language_names: [
        "Quelles sont ces langues\u{a0}? {codes}",
        "Nomme les langues\u{a0}: {codes}",
        "Noms des langues\u{a0}: {codes}",
    ],
    month_names: [
        "Nomme les mois\u{a0}: {numbers}",
        "Quels sont ces mois\u{a0}? {numbers}",
        "Écris le nom de ces mois\u{a0}: {numbers}",
    ],
    relative_time: [
        "Dis-le par rapport à maintenant\u{a0}: {shift}",
        "En temps relatif\u{a0}: {shift}",
        "C’est quand, à partir de maintenant\u{a0}? {shift}",
    ],
    unit_name: [
        "Écris l’unité en entier\u{a0}: {quantity}",
        "L’unité sans abréviation\u{a0}: {quantity}",
        "{quantity}\u{a0}: écris le nom de l’unité",
    ],
    sort_names: [
        "Trie par ordre alphabétique\u{a0}: {names}",
        "Mets en ordre alphabétique\u{a0}: {names}",
        "Classe comme dans un dictionnaire\u{a0}: {names}",
    ],
    number_words: [
        "Réponds en lettres\u{a0}: {sum}",
        "Combien font {sum}\u{a0}? En lettres.",
        "Calcule, en lettres\u{a0}: {sum}",
    ],
    addition: ["Calcule\u{a0}: {sum}", "Combien font {sum}\u{a0}?", "Fais le calcul\u{a0}: {sum}"],
    unit_conversion: [
        "Convertis\u{a0}: {quantity} = ? {unit}",
        "Change l’unité\u{a0}: {quantity} = ? {unit}",
        "Cela fait combien\u{a0}? {quantity} = ? {unit}",
    ],
    month_shift: [
        "Quel mois est-ce\u{a0}? {month} {shift}",
        "Nomme le mois\u{a0}: {month} {shift}",
        "Trouve le mois\u{a0}: {month} {shift}",
    ],
    weekday_shift: [
        "Quel jour est-ce\u{a0}? {weekday} {shift}",
        "Nomme le jour\u{a0}: {weekday} {shift}",
        "Trouve le jour\u{a0}: {weekday} {shift}",
    ],
    weekday_of_date: [
        "Quel jour de la semaine\u{a0}? {date}",
        "Nomme le jour de la semaine\u{a0}: {date}",
        "C’est quel jour de la semaine\u{a0}? {date}",
    ],
    date_shift: [
        "Quelle date est-ce\u{a0}? {date} {shift}",
        "Calcule la date\u{a0}: {date} {shift}",
        "Trouve la date\u{a0}: {date} {shift}",
    ],
};
