//! Spanish.

use super::{Phrases, Spelling};

/// The whole of it: order and meaning of the fields are those of [`Phrases`].
pub(super) const PHRASES: Phrases = Phrases {
    tag: "es",
    locales: &["es"],
    unit_locales: &["es"],
    comma: ", ",
    full_stop: ".",
    numerals: [
        "uno",
        "dos",
        "tres",
        "cuatro",
        "cinco",
        "seis",
        "siete",
        "ocho",
        "nueve",
        "diez",
        "once",
        "doce",
        "trece",
        "catorce",
        "quince",
        "dieciséis",
        "diecisiete",
        "dieciocho",
        "diecinueve",
        "veinte",
    ],
    plus: " más ",
    minus: " menos ",
    spellings: &[],
    date_spellings: &[Spelling::Start("1 de ", "1.º de "), Spelling::Anywhere(" de 20", " del 20")],
    copy_words: ["Repite: {words}", "Copia estas palabras: {words}", "Di exactamente esto: {words}"],
    reverse_digits: [
        "Invierte las cifras: {digits}",
        "Escribe {digits} al revés",
        "Las cifras en orden inverso: {digits}",
    ],
    date_long: [
        "Escribe la fecha completa: {date}",
        "¿Cómo se escribe esta fecha? {date}",
        "{date} como fecha larga, por favor",
    ],
    number_format: [
        "Da formato al número: {number}",
        "Escribe {number} con separadores",
        "Agrupa las cifras: {number}",
    ],
    percent_format: ["Escribe {number} como porcentaje", "En porcentaje: {number}", "¿Qué porcentaje es {number}?"],
    currency_format: [
        "Da formato al importe: {amount}",
        "Escribe el precio con su símbolo: {amount}",
        "¿Cómo se escribe este precio? {amount}",
    ],
    join_list: [
        "Une en una enumeración: {items}",
        "Enumera con la conjunción final: {items}",
        "Escribe como enumeración: {items}",
    ],
    country_names: ["¿Qué países son? {codes}", "Nombra los países: {codes}", "Nombres de los países: {codes}"],
    language_names: ["¿Qué idiomas son? {codes}", "Nombra los idiomas: {codes}", "Nombres de los idiomas: {codes}"],
    month_names: [
        "Nombra los meses: {numbers}",
        "¿Qué meses son? {numbers}",
        "Escribe el nombre de estos meses: {numbers}",
    ],
    relative_time: [
        "Dilo con respecto a ahora: {shift}",
        "Como tiempo relativo: {shift}",
        "¿Cuándo es, visto desde ahora? {shift}",
    ],
    unit_name: [
        "Escribe la unidad completa: {quantity}",
        "La unidad sin abreviar: {quantity}",
        "{quantity}: escribe el nombre de la unidad",
    ],
    sort_names: [
        "Ordena alfabéticamente: {names}",
        "Pon en orden alfabético: {names}",
        "Ordena como en un diccionario: {names}",
    ],
    number_words: ["Responde con palabras: {sum}", "¿Cuánto es {sum}? Con palabras.", "Calcula, con palabras: {sum}"],
    addition: ["Calcula: {sum}", "¿Cuánto es {sum}?", "Haz la cuenta: {sum}"],
    unit_conversion: [
        "Convierte: {quantity} = ? {unit}",
        "Cambia la unidad: {quantity} = ? {unit}",
        "¿Cuánto es? {quantity} = ? {unit}",
    ],
    month_shift: [
        "¿Qué mes es? {month} {shift}",
        "Nombra el mes: {month} {shift}",
        "Cuenta los meses: {month} {shift}",
    ],
    weekday_shift: [
        "¿Qué día de la semana es? {weekday} {shift}",
        "Nombra el día: {weekday} {shift}",
        "Cuenta los días: {weekday} {shift}",
    ],
    weekday_of_date: [
        "¿Qué día de la semana es el {date}?",
        "Nombra el día de la semana: {date}",
        "¿En qué día de la semana cae el {date}?",
    ],
    date_shift: [
        "¿Qué fecha es? {date} {shift}",
        "Calcula la fecha: {date} {shift}",
        "Cuenta en el calendario: {date} {shift}",
    ],
};
