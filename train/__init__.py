"""Training. Needs the extra ``train``. The houses, in the order in which the data goes:

* ``attacks``: edits that turn a photograph into a query;
* ``data``: photographs, views of them, batches, attacked queries, validation pairs, features of a frozen trunk;
* ``models``: backbones, their weights, pooling and head, the fast form of the trunk, projections;
* ``objectives``: ArcFace, InfoNCE and triplets, behind what the loop asks of any;
* ``loop``: the steps of a run, learning rate, growing classes, checkpoints, log;
* ``bundles``: export, projection, bank and constants; parts fitted anew, bundles joined, matching and its quantisers fitted;
* ``run``: photographs in, the folder of a run with its bundle out; joins all of these;
* ``settings``, ``presets``: what decides a run, and the published systems' choices; ``option``: both for the command line;
* ``detector``: the network that finds pasted photographs, from scenes to bundle, on the same data, models and loop;
* ``validation_sets``: edits by other code than the attacks, to choose between models;
* ``tools``: what is made by hand now and then;
* ``verbs``: ``copytrace attack`` and ``copytrace train``.
"""
