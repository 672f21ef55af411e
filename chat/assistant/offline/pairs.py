"""Tell two things from one that has two names: "eggs and mail" are two, "salt and pepper" is one."""

from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.vocabulary import words

_ONE_WORD = pattern(r"\s*[a-z][a-z'-]{2,}\s*")
_VAGUE = words(
    """
    all another anything both everything he her here him it less misc more one other others she so some something stuff
    such that them there these they things this those three two us you
    """
)
_PAIRS = words(
    """
    arts+crafts bacon+eggs bed+breakfast black+white bread+butter brush+dustpan burger+fries burgers+fries chips+dip
    chips+guacamole chips+salsa cookies+cream cookies+milk cream+sugar cup+saucer cups+saucers fish+chips food+drink
    food+drinks fruit+veg fruit+vegetables fruits+vegetables gin+tonic gloves+hat gloves+scarf ham+cheese ham+eggs
    hammer+nails health+safety jacket+tie knife+fork knives+forks lock+key mac+cheese macaroni+cheese meet+greet mop+bucket
    mortar+pestle needle+thread nuts+bolts oil+vinegar paper+pen pen+pencil pencil+paper pens+pencils pots+pans pros+cons
    questions+answers rice+beans rock+roll rum+coke salt+pepper salt+vinegar sausage+mash shampoo+conditioner shoes+socks
    soap+water soup+salad spaghetti+meatballs suit+tie sugar+spice table+chairs terms+conditions toothbrush+toothpaste
    trial+error wine+cheese
    """
)


def are_two_things(one: str, other: str) -> bool:
    """Return whether two words name two things, which go into a task each."""
    first, second = one.strip().lower(), other.strip().lower()
    if not (_ONE_WORD.fullmatch(one) and _ONE_WORD.fullmatch(other)) or other.strip() != second:
        return False  # several words may share one: "red and white wine"; a capital is a name's
    return not {first, second} & _VAGUE and not {f"{first}+{second}", f"{second}+{first}"} & _PAIRS
