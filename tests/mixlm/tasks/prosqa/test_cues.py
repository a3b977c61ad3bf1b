"""No cue in balanced rows: single features, and classifiers on all of them; trained on 2,000 rows, tested on 2,000."""

from collections.abc import Callable

import numpy as np
import pytest

from mixlm.tasks.prosqa import balanced as prosqa_balanced
from mixlm.tasks.prosqa import task as prosqa
from tests.mixlm.tasks.generating import generator
from tests.mixlm.tasks.prosqa.prosqa_features import candidate_features, root_features


TRAINED, TESTED = 2000, 2000
SMALL = {"min_nodes": 10, "max_nodes": 12, "min_path": 3, "max_path": 4}
# Tom -> wumpus -> lempus -> rempus      Max -> yumpus -> zumpus, Max -> rempus, yumpus -> lempus
BY_HAND = {
    "question": "Every wumpus is a lempus. Max is a yumpus. Every lempus is a rempus. Tom is a wumpus. "
    "Max is a rempus. Every yumpus is a zumpus. Every yumpus is a lempus. Is Tom a zumpus or rempus?",
    "idx_to_symbol": ["Tom", "Max", "wumpus", "yumpus", "lempus", "rempus", "zumpus"],
    "edges": [[0, 2], [1, 3], [2, 4], [3, 4], [4, 5], [1, 5], [3, 6]],
    "root": 0,
    "target": 5,
    "neg_target": 6,
}


class Table:
    """Rows as numbers, from the point of view of the candidate that is listed first."""

    def __init__(self, rows: list[dict]):
        features = [candidate_features(row) for row in rows]
        self.names = list(features[0])
        pairs = np.array([[it[name] for name in self.names] for it in features])  # (rows, features, 2)
        self.first_is_right = np.array([it["listed_first"][0] for it in features]) > 0
        swapped = np.where(self.first_is_right[:, None, None], pairs, pairs[:, :, ::-1])
        self.difference = swapped[:, :, 0] - swapped[:, :, 1]
        self.root = np.array([list(root_features(row).values()) for row in rows])
        names = np.eye(39)[swapped[:, self.names.index("name")].astype(int)]
        self.by_name = names[:, 0] - names[:, 1]
        self.all = np.concatenate([swapped[:, :, 0], swapped[:, :, 1], self.difference, self.root], 1)


def single_accuracies(train: Table, test: Table) -> dict[str, float]:
    """Accuracy of choosing the candidate with more (or less, whichever is better in training) of a feature."""
    right = [np.sign(table.difference) * np.where(table.first_is_right, 1, -1)[:, None] for table in (train, test)]
    found = (1 + right[1].mean(0) * np.where(right[0].mean(0) < 0, -1, 1)) / 2
    first = train.names.index("listed_first")
    right = [np.where(table.first_is_right, 1, -1).mean() for table in (train, test)]
    found[first] = (1 + right[1] * (-1 if right[0] < 0 else 1)) / 2
    return dict(zip(train.names, found.tolist(), strict=True))


def logistic(train: Table, test: Table) -> float:
    """Accuracy of a logistic regression on differences of features, one-hot names and products with the root's."""

    def inputs(table: Table) -> np.ndarray:
        scaled = (table.root - train.root.mean(0)) / (train.root.std(0) + 1e-9)
        products = (table.difference[:, :, None] * scaled[:, None]).reshape(len(scaled), -1)
        return np.concatenate([table.difference, table.by_name, products, np.ones((len(scaled), 1))], 1)

    x, y = inputs(train), train.first_is_right
    scale = np.abs(x).max(0) + 1e-9
    weights = np.zeros(x.shape[1])
    for _ in range(8):  # Newton's method with a ridge
        rate = 1 / (1 + np.exp(-np.clip(x / scale @ weights, -30, 30)))
        slope = (x / scale).T @ (rate - y) + 5 * weights
        curve = (x / scale).T @ (x / scale * (rate * (1 - rate))[:, None]) + 5 * np.eye(len(weights))
        weights -= np.linalg.solve(curve, slope)
    return float((((inputs(test) / scale @ weights) > 0) == test.first_is_right).mean())


def boosted_trees(x: np.ndarray, y: np.ndarray, rounds: int = 60, depth: int = 3, rate: float = 0.2) -> Callable:
    """Fit gradient-boosted trees of second order on features cut into 16 bins; return the predictor of ``y > 0``."""
    cuts = [np.unique(np.quantile(column, np.linspace(0, 1, 17)[1:-1])) for column in x.T]

    def binned(values: np.ndarray) -> np.ndarray:
        return np.stack([np.searchsorted(cut, column, "right") for cut, column in zip(cuts, values.T, strict=True)], 1)

    bins, score, trees = binned(x), np.zeros(len(x)), []
    offsets = np.arange(x.shape[1]) * 16
    for _ in range(rounds):
        chance = 1 / (1 + np.exp(-score))
        splits, node = [], np.zeros(len(x), int)
        for level in range(depth):
            cells = (node[:, None] * 16 * x.shape[1] + offsets + bins).ravel()
            shape = (2**level, x.shape[1], 16)
            slope, weight = (
                np.bincount(cells, np.repeat(values, x.shape[1]), np.prod(shape)).reshape(shape).cumsum(2)
                for values in (y - chance, chance * (1 - chance))
            )
            gain = slope**2 / (weight + 1) + (slope[..., -1:] - slope) ** 2 / (weight[..., -1:] - weight + 1)
            feature, cut = np.divmod(gain.reshape(2**level, -1).argmax(1), 16)
            splits.append((feature, cut))
            node = 2 * node + (bins[np.arange(len(x)), feature[node]] > cut[node])
        slope, weight = (np.bincount(node, values, 2**depth) for values in (y - chance, chance * (1 - chance)))
        trees.append((splits, rate * slope / (weight + 1)))
        score += trees[-1][1][node]

    def predict(values: np.ndarray) -> np.ndarray:
        found, total = binned(values), np.zeros(len(values))
        for splits, leaves in trees:
            node = np.zeros(len(values), int)
            for feature, cut in splits:
                node = 2 * node + (found[np.arange(len(values)), feature[node]] > cut[node])
            total += leaves[node]
        return total > 0

    return predict


def trees(train: Table, test: Table) -> float:
    """Accuracy of boosted trees on the features of both candidates, their differences and the root's features."""
    return float((boosted_trees(train.all, train.first_is_right)(test.all) == test.first_is_right).mean())


@pytest.fixture(scope="module", params=[{}, SMALL], ids=["default", "small"])
def balanced(request) -> tuple[Table, Table]:
    return (
        Table(list(generator(prosqa_balanced)(TRAINED, **request.param))),
        Table(list(generator(prosqa_balanced)(TESTED, seed=1, **request.param))),
    )


def test_features_of_a_graph_by_hand():
    features = candidate_features(BY_HAND)
    assert features == {
        "nearest_entity": (1, 2),
        "farthest_entity": (3, 2),
        "in_degree": (2, 1),
        "out_degree": (0, 0),
        "ancestors": (5, 2),
        "descendants": (0, 0),
        "entities": (2, 1),
        "siblings": (1, 1),
        "neighbourhood": (5, 3),
        "parents_in": (2, 1),
        "parents_out": (3, 2),
        "component": (7, 7),
        "listed_first": (0, 1),
        "first_mention": (2, 5),
        "last_mention": (4, 5),
        "name": (20, 37),
        "distance": (3, 4),
        "shortest_paths": (1, 1),
        "common_neighbours": (0, 0),
        "walks": (0, 7),  # 0 2 4 3 6 and to and fro once: 2 0, 2 4, 4 3, 4 5, 3 1, 3 6, or 0 2 4 5 1 3 6
        "other_distance": (1, 2),
        "text_gap": (1, 2),
    }
    expected = {"root_children": 1, "root_reach": 4, "root_height": 3, "nodes": 7, "edges": 7, "all_entities": 2}
    assert root_features(BY_HAND) == expected


def test_no_single_feature_tells_the_answer_of_balanced_rows(balanced):
    accuracies = single_accuracies(*balanced)
    assert len(accuracies) == 22
    assert max(accuracies.values()) <= 0.55, accuracies


def test_no_classifier_on_all_features_tells_the_answer_of_balanced_rows(balanced):
    assert logistic(*balanced) <= 0.55
    assert trees(*balanced) <= 0.55


def test_classifiers_find_a_rule_that_there_is(balanced):
    """The same rows with another answer: by a feature's sign, turned round where the root has many children."""
    for table in balanced:
        turned = table.root[:, 0] > np.median(balanced[0].root[:, 0])
        sign = table.difference[:, table.names.index("last_mention")] > 0
        table.first_is_right = sign ^ turned
    assert logistic(*balanced) > 0.8
    assert trees(*balanced) > 0.8


def test_prosqa_is_answered_by_the_same_features_and_classifiers():
    train, test = Table(list(prosqa.generate(800))), Table(list(prosqa.generate(400, seed=1)))
    accuracies = single_accuracies(train, test)
    assert accuracies["nearest_entity"] > 0.88 and accuracies["other_distance"] > 0.92
    assert accuracies["in_degree"] > 0.6 and accuracies["ancestors"] > 0.6
    assert logistic(train, test) > 0.93
    assert trees(train, test) > 0.93
