"""Writes scikit-learn models in the JSON that Dragonfly's model module reads.

    import export                                # this file
    export.save(model, names, "model.json")      # names: of the features, in their order

Takes LogisticRegression, LinearRegression, RandomForestClassifier, RandomForestRegressor, IsolationForest, KMeans, and a
Pipeline of a StandardScaler and one of them.
"""

import json

import numpy as np


def tree(t, values, features=None):
    """One decision tree (a threshold of infinity, which parts what is missing from the rest, becomes the largest number). features maps its feature numbers to the model's, if it saw a part of them."""
    feature = [int(f) if f >= 0 else -1 for f in t.feature]
    if features is not None:
        feature = [int(features[f]) if f >= 0 else -1 for f in feature]
    out = {"feature": feature, "threshold": [float(x) for x in np.nan_to_num(t.threshold)], "left": t.children_left.tolist(), "right": t.children_right.tolist(),
           "samples": [float(x) for x in t.weighted_n_node_samples]}
    if values is not None:
        out["value"] = values
    if hasattr(t, "missing_go_to_left"):
        out["missing_left"] = [bool(b) for b in t.missing_go_to_left]
    return out


def convert(model, names):
    if hasattr(model, "steps"):
        scaler, last = model.steps[0][1], model.steps[-1][1]
        if len(model.steps) != 2 or type(scaler).__name__ != "StandardScaler":
            raise ValueError("a pipeline must be a StandardScaler and a model")
        out = convert(last, names)
        out["mean"], out["scale"] = scaler.mean_.tolist(), scaler.scale_.tolist()
        return out
    kind, names = type(model).__name__, list(names)
    if kind == "LinearRegression":
        return {"model": "linear", "features": names, "intercept": float(model.intercept_), "coefficients": np.ravel(model.coef_).tolist()}
    if kind == "LogisticRegression":
        out = {"model": "logistic", "features": names, "classes": [float(c) for c in model.classes_]}
        if len(model.classes_) == 2:
            out["intercept"], out["coefficients"] = float(model.intercept_[0]), model.coef_[0].tolist()
        else:
            out["intercept"], out["coefficients"] = model.intercept_.tolist(), model.coef_.tolist()
        return out
    if kind == "RandomForestRegressor":
        return {"model": "forest", "task": "regression", "features": names, "single": True,
                "trees": [tree(e.tree_, e.tree_.value[:, 0, 0].tolist()) for e in model.estimators_]}
    if kind == "RandomForestClassifier":
        trees = []
        for e in model.estimators_:
            v = e.tree_.value[:, 0, :]
            trees.append(tree(e.tree_, (v / v.sum(axis=1, keepdims=True)).tolist()))
        return {"model": "forest", "task": "classification", "features": names, "single": True, "classes": [float(c) for c in model.classes_], "trees": trees}
    if kind == "IsolationForest":
        return {"model": "isolation_forest", "features": names, "single": True, "sample_size": float(model.max_samples_), "offset": float(model.offset_),
                "trees": [tree(e.tree_, None, f) for e, f in zip(model.estimators_, model.estimators_features_)]}
    if kind == "KMeans":
        return {"model": "kmeans", "features": names, "centers": model.cluster_centers_.tolist()}
    raise ValueError(f"no export for {kind}")


def save(model, names, path):
    with open(path, "w") as f:
        json.dump(convert(model, names), f, separators=(",", ":"))
