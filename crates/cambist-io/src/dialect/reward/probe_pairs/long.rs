//! The long pair, some 800 tokens.

use super::ProbePair;

/// The long pair.
pub(super) const ENGLISH: ProbePair = ProbePair {
    language: "en",
    prompt: "I want to start a small vegetable garden behind my house. I have never grown anything. Please explain, step \
             by step, how to plan it, prepare the soil, choose what to plant, and look after it through the first year.",
    good: "Start small. A bed of about two by three metres is enough to learn on, and you will be able to weed it in \
           twenty minutes a week. Beginners who dig up the whole lawn in April usually give up in July.\n\n**1. Choose \
           the place.** Vegetables need at least six hours of direct sun a day. Watch your garden for one day and note \
           where the shade falls in the morning, at noon and in the afternoon. Stay away from large trees, whose roots \
           take the water, and keep the bed close to the kitchen and to a tap: what is near is cared for.\n\n**2. Prepare \
           the soil.** Mark the edges with string, cut the turf into squares and lift it off. Loosen the ground with a \
           digging fork to the depth of its tines, and pick out stones and the white roots of perennial weeds. Then \
           spread five centimetres of ripe compost over the bed and rake it in. Squeeze a handful of damp soil: if it \
           falls apart like sand, add more compost; if it forms a sticky ball, never walk on the bed when it is wet, and \
           consider a raised frame. A simple test from a garden centre tells you whether the soil is very acid.\n\n**3. \
           Choose easy plants.** Good first crops are lettuce, radishes, bush beans, courgettes, chard, and one or two \
           tomato plants bought as seedlings. Herbs such as parsley, chives and basil take little room. Grow what you \
           like to eat, and look up the date of the last frost in your area, because beans, courgettes, tomatoes and \
           basil die from a single cold night.\n\n**4. Draw a plan.** Put tall plants on the north side so that they do \
           not shade the others. Leave the distance that the seed packet names, even if the bed looks empty at first. \
           Sow lettuce and radishes in short rows, a new one every two weeks, so that not everything is ripe on the same \
           day.\n\n**5. Sow and plant.** Draw a shallow furrow with a stick, water it, sow thinly, cover the seed with \
           about twice its own thickness of soil, and press it down gently with your hand. Label every row. When the \
           seedlings have two true leaves, pull out the weakest until the rest stand at the right distance.\n\n**6. Look \
           after it.** Water deeply twice a week rather than a little every day, in the morning and at the roots, not \
           over the leaves. Hoe on dry days, while weeds are still tiny. Cover bare ground with dry grass clippings or \
           straw, which keeps the moisture in. Tie tomatoes to a stake and pinch out the shoots between stem and leaf. \
           Walk past every evening and look under the leaves: slugs and caterpillars are easily picked off by hand while \
           they are few.\n\n**7. Harvest often.** Pick beans and courgettes when they are young and the plants will keep \
           bearing; cut the outer leaves of lettuce and chard and leave the heart to grow.\n\n**8. Close the year.** In \
           autumn clear away what is finished, compost what is healthy, and throw away what is diseased. Cover the bed \
           with leaves or sow a green manure such as rye. Write down what worked, what failed and where each plant \
           stood, because next year no family should return to the same spot: beans where tomatoes were, lettuce where \
           beans were. With that notebook, a bag of compost and a little patience, your second year will be much easier \
           than your first.",
    awful: "idk lol just throw some stuff on the ground maybe. garden garden garden garden. blah blah blah blah",
};
