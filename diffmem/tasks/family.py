"""A family tree of four generations, and what relatives are called: a graph that no training sees.

    Arthur + Beatrice                   Frank + Grace
        |                                   |
        +-- Charles ------------+ Irene ----+           each child has a father and a mother, each parent has
        +-- Daniel + Mabel      |           +-- Henry   sons and daughters by age:
        +-- Edith    |          |           +-- Julia   ("Laura", "father", "Charles"),
                     |          |                       ("Charles", "son 1", "Kenneth"), ...
              Norman, Olive     +-- Kenneth + Rose
                                |             |
                                |       Simon, Thomas, Ursula
                                +-- Laura + Victor
                                              |
                                       William, Yvonne

A relation is a path of up to four edges that meets nobody twice: Daniel is the second son of the father of the father of
William's mother, his "maternal great-uncle 2, by the paternal great-grandfather". English has one name for several paths (a
"brother" is the first or the second son of the father or the mother); here each path has its own.

Source: invented, after Graves et al. 2016, figure 2, whose family tree has 54 edges.
"""

from itertools import product

KIN = ("father", "mother", "son 1", "son 2", "daughter 1", "daughter 2")
FAMILIES = (  # father, mother, sons, daughters
    ("Arthur", "Beatrice", ("Charles", "Daniel"), ("Edith",)),
    ("Frank", "Grace", ("Henry",), ("Irene", "Julia")),
    ("Charles", "Irene", ("Kenneth",), ("Laura",)),
    ("Daniel", "Mabel", ("Norman",), ("Olive",)),
    ("Kenneth", "Rose", ("Simon", "Thomas"), ("Ursula",)),
    ("Victor", "Laura", ("William",), ("Yvonne",)),
)


def edges() -> tuple[tuple[str, str, str], ...]:
    """(person, kin, that person), from children to parents and from parents to children."""
    found = []
    for father, mother, sons, daughters in FAMILIES:
        for word, children in (("son", sons), ("daughter", daughters)):
            for number, child in enumerate(children, 1):
                found += [(child, "father", father), (child, "mother", mother)]
                found += [(parent, f"{word} {number}", child) for parent in (father, mother)]
    return tuple(found)


def relations() -> dict[str, tuple[str, ...]]:
    """Each relation's path, by name: the kin themselves, and what is made of them in two, three and four steps."""
    parents, children = KIN[:2], KIN[2:]
    side = {"father": "paternal", "mother": "maternal"}
    siblings = {"son": "brother", "daughter": "sister"}
    found: dict[str, tuple[str, ...]] = {kin: (kin,) for kin in KIN}
    for one, other in product(parents, parents):
        found[f"{side[one]} grand{other}"] = (one, other)
        for third in parents:
            found[f"{side[one]} great-grand{third}, by the {side[other]} side"] = (one, other, third)
    for one, child in product(parents, children):
        word, number = child.split()
        found[f"{siblings[word]} {number}, by the {one}"] = (one, child)
    for child, grandchild in product(children, children):
        found[f"{child}'s {grandchild}"] = (child, grandchild)
    for one, other, child in product(parents, parents, children):
        word, number = child.split()
        aunt = {"son": "uncle", "daughter": "aunt"}[word]
        found[f"{side[one]} {aunt} {number}, by the grand{other}"] = (one, other, child)
        for third in parents:
            path = (one, other, third, child)
            found[f"{side[one]} great-{aunt} {number}, by the {side[other]} great-grand{third}"] = path
        for grandchild in children:
            found[f"{grandchild} of the {side[one]} {aunt} {number}, by the grand{other}"] = (one, other, child, grandchild)
    return found


EDGES, RELATIONS = edges(), relations()
