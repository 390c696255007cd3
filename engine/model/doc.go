// Package model runs trained models: linear and logistic regression, decision trees and forests, isolation forests,
// k-means, and gradient boosting by LightGBM and XGBoost. It needs nothing but the model's file.
//
// # Formats
//
// Load finds the format by the content.
//
//   - LightGBM: the text of Booster.save_model and the JSON of Booster.dump_model. Numerical and categorical splits, all
//     types of missing values, boosting gbdt, dart, goss and rf. Objectives: regression (and reg_sqrt), regression_l1,
//     huber, fair, quantile, mape, poisson, gamma, tweedie, binary, multiclass, multiclassova, cross_entropy,
//     cross_entropy_lambda, lambdarank, rank_xendcg, and one's own, whose answer is the margin. Not: linear_tree.
//   - XGBoost: the JSON of Booster.save_model("model.json"). gbtree and dart, numerical and categorical splits; reg:*,
//     binary:*, multi:*, count:poisson, rank:*, survival:cox, survival:aft. All trees count, also those behind
//     best_iteration. Not: gblinear, UBJSON, several targets. XGBoost compares and adds up in 32 bits; here rows fall
//     into the same leaves, and the sum, in 64 bits, differs by about 1e-6.
//   - Native JSON, described below. test/models/export.py writes it from models of scikit-learn.
//
// Values of categorical features are the numbers that the model was trained with: with pandas those of cat.codes.
//
// # Native JSON
//
// One object. All kinds have "model", "features" (names) and, if wanted, "info" and "provenance" (anything, for people).
// Other keys than these are errors.
//
//	{"model": "logistic", "features": [..], "intercept": b, "coefficients": [..], "classes": [no, yes],
//	 "mean": [..], "scale": [..], "missing": [..]}
//
// The probability of the second class is 1/(1+exp(-(b + sum of c*(x-mean)/scale))). mean, scale and classes are optional,
// 0, 1, and 0 and 1. Labels are strings, numbers or booleans. missing is what stands in for missing values, by default
// the mean. For more classes intercept and coefficients are lists by class: the probabilities are the softmax, or, with
// "multi_class": "ovr", the sigmoid of each divided by their sum.
//
//	{"model": "linear", "features": [..], "intercept": b, "coefficients": [..], "mean": .., "scale": .., "missing": ..}
//	{"model": "kmeans", "features": [..], "centers": [[..], ..], "classes": .., "mean": .., "scale": .., "missing": ..}
//
// Centers are in standardised units; classes are labels of the clusters, by default 0, 1, ...
//
//	{"model": "forest", "task": "classification", "features": [..], "classes": [..], "float32": true, "missing": [..],
//	 "trees": [{"feature": [0, -1, -1], "threshold": [2.5, 0, 0], "left": [1, -1, -1], "right": [2, -1, -1],
//	            "value": [null, [8, 2], [1, 9]], "samples": [20, 10, 10], "missing_left": [true, false, false]}, ..]}
//
// The lists of a tree have an element for each node; node 0 is the root, feature -1 is a leaf. Values up to the threshold
// go left. value is the weight of each class, of which the tree's answer are the shares (for two classes the share of the
// second will do); with "task": "regression" it is a number. The forest's answer is the mean. samples (the number or weight of the training rows in each node) is needed to
// explain. A missing value is replaced by the feature's number in missing; without that it goes left where missing_left
// says so, else right. float32: values are rounded to 32 bits before they are compared, as scikit-learn does.
//
//	{"model": "isolation_forest", "features": [..], "sample_size": 256, "offset": -0.5, "trees": [{.., "samples": [..]}]}
//
// Trees as above, without value. sample_size is scikit-learn's max_samples_, offset its offset_.
//
// # Verification
//
// testdata holds models that test/models/make_fixtures.py trained with scikit-learn 1.9.1, LightGBM 4.7.0 and XGBoost
// 3.2.0, on data with missing values and categories, and what these libraries answer: classes must be equal, scores,
// margins and probabilities agree within 1e-12 (XGBoost: 3e-6), contributions with pred_contrib and pred_contribs within
// 1e-9 (XGBoost: 9e-6). For all models contributions add up to the margin within 1e-9; TreeSHAP is also compared with
// Shapley values computed from their definition.
//
// # Speed
//
// Predict walks four trees in step and without branches, and allocates nothing for models with one output. 100 trees of
// depth 8 take 1.9 us, 2.4 us for a row with missing values (BenchmarkPredict). A node takes 28 bytes with its counts.
package model
