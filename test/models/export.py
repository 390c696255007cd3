"""Writes a scikit-learn model as native JSON for Dragonfly's `model` module.

    from export import export
    export(model, ["bytes", "packets"], "model.json")

or, for a model stored by joblib or pickle (trust the file: loading it runs code):

    python3 export.py model.pkl model.json [feature ...]

Models: LogisticRegression, LogisticRegressionCV, LinearRegression, Ridge, Lasso, ElasticNet, DecisionTree*, ExtraTree*,
RandomForest*, ExtraTrees* (classifiers and regressors), IsolationForest, KMeans, MiniBatchKMeans; each alone, or as the
last step of a Pipeline behind a SimpleImputer and a StandardScaler (each optional, in this order). Behind them trees are
written for the values as they come, with thresholds scaled back: a value that lies closer to a threshold than 32 bits can
tell may go the other way than in scikit-learn.
Checked with scikit-learn 1.9.1.
"""

import json
import sys

import numpy as np


def numbers(values):
    """Lists of Python floats."""
    return np.asarray(values, dtype=float).tolist()


def label(value):
    """A class label that JSON can hold."""
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, (str, int, float, bool)) else str(value)


def steps(model):
    """Splits a Pipeline into what comes first and the model."""
    fill = mean = scale = None
    if type(model).__name__ == "Pipeline":
        *first, (_, model) = model.steps
        for _, step in first:
            name = type(step).__name__
            if step in (None, "passthrough"):
                continue
            if name == "SimpleImputer" and fill is None and mean is None and scale is None:
                if step.add_indicator or np.isnan(np.asarray(step.statistics_, dtype=float)).any():
                    raise ValueError("SimpleImputer: indicators and columns without any value are not supported")
                fill = numbers(step.statistics_)
            elif name == "StandardScaler" and mean is None and scale is None:
                mean = numbers(step.mean_) if step.with_mean else None
                scale = numbers(step.scale_) if step.with_std else None
            else:
                raise ValueError(f"{name} cannot be exported here: want SimpleImputer, StandardScaler, model")
    return fill, mean, scale, model


def tree(estimator, columns=None, values=True, mean=None, scale=None):
    """One tree as lists by node."""
    t = estimator.tree_
    nodes = t.__getstate__()["nodes"]
    leaf = t.children_left == -1
    feature = t.feature if columns is None else np.asarray(columns)[t.feature]
    threshold = t.threshold.astype(float)
    if scale is not None:
        threshold = threshold * np.asarray(scale)[feature]
    if mean is not None:
        threshold = threshold + np.asarray(mean)[feature]
    threshold = np.clip(threshold, -sys.float_info.max, sys.float_info.max)  # infinity: all but missing values go left
    out = {
        "feature": np.where(leaf, -1, feature).tolist(),
        "threshold": np.where(leaf, 0.0, threshold).tolist(),
        "left": np.where(leaf, -1, t.children_left).tolist(),
        "right": np.where(leaf, -1, t.children_right).tolist(),
        "samples": numbers(t.weighted_n_node_samples if values else t.n_node_samples),
    }
    if "missing_go_to_left" in nodes.dtype.names and nodes["missing_go_to_left"].any():
        out["missing_left"] = nodes["missing_go_to_left"].astype(bool).tolist()
    if values:
        if t.n_outputs != 1:
            raise ValueError("models with several outputs are not supported")
        v = t.value[:, 0, :]
        out["value"] = numbers(v if v.shape[1] > 1 else v[:, 0])
        out["value"] = [x if is_leaf else None for x, is_leaf in zip(out["value"], leaf)]
    return out


def native(model, features):
    """The model as a dictionary."""
    fill, mean, scale, model = steps(model)
    name = type(model).__name__
    out = {"features": [str(f) for f in features]}
    if hasattr(model, "n_features_in_") and model.n_features_in_ != len(features):
        raise ValueError(f"the model has {model.n_features_in_} features, {len(features)} names given")
    if fill is not None:
        out["missing"] = fill

    def standard():
        if mean is not None:
            out["mean"] = mean
        if scale is not None:
            out["scale"] = scale

    if name in ("LogisticRegression", "LogisticRegressionCV"):
        out["model"] = "logistic"
        out["classes"] = [label(c) for c in model.classes_]
        coef, intercept = numbers(model.coef_), numbers(np.broadcast_to(model.intercept_, (len(model.coef_),)))
        if len(coef) == 1:
            coef, intercept = coef[0], intercept[0]
        elif getattr(model, "solver", "") == "liblinear" or getattr(model, "multi_class", "") == "ovr":
            out["multi_class"] = "ovr"
        out["coefficients"], out["intercept"] = coef, intercept
        standard()
    elif name in ("LinearRegression", "Ridge", "Lasso", "ElasticNet"):
        if np.ndim(model.coef_) != 1:
            raise ValueError("models with several outputs are not supported")
        out["model"] = "linear"
        out["coefficients"], out["intercept"] = numbers(model.coef_), float(model.intercept_)
        standard()
    elif name in ("KMeans", "MiniBatchKMeans"):
        out["model"] = "kmeans"
        out["centers"] = numbers(model.cluster_centers_)
        standard()
    elif name == "IsolationForest":
        out["model"] = "isolation_forest"
        out["trees"] = [tree(e, c, False, mean, scale) for e, c in zip(model.estimators_, model.estimators_features_)]
        out["sample_size"] = int(model.max_samples_)
        out["offset"] = float(model.offset_)
    elif hasattr(model, "tree_") or hasattr(model, "estimators_") and name.startswith(("RandomForest", "ExtraTrees")):
        out["model"] = "forest"
        trees = [model] if hasattr(model, "tree_") else model.estimators_
        out["trees"] = [tree(e, None, True, mean, scale) for e in trees]
        if hasattr(model, "classes_"):
            out["task"] = "classification"
            out["classes"] = [label(c) for c in model.classes_]
        else:
            out["task"] = "regression"
    else:
        raise ValueError(f"{name} is not supported")
    if "trees" in out and mean is None and scale is None:
        out["float32"] = True  # scikit-learn's trees round values to 32 bits before they compare
    return out


def export(model, features, path):
    """Writes the model; features are the names of its columns."""
    with open(path, "w") as f:
        json.dump(native(model, features), f, allow_nan=False, separators=(",", ":"))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    import joblib

    loaded = joblib.load(sys.argv[1])
    names = sys.argv[3:] or list(getattr(loaded, "feature_names_in_", []))
    if not names:
        sys.exit("the model does not know the names of its features: give them behind the files")
    export(loaded, names, sys.argv[2])
