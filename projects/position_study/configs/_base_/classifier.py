# The backbone of all arms, its reference kernel, and the head of ConvNeXt.
default_scope = "mmengine"
model = dict(
    type="StudyClassifier",
    data_preprocessor=dict(type="StudyPreprocessor"),
    backbone=dict(
        type="StudyConvNeXt",
        kernel=dict(type="dcls", kernel_size=17),
        out_indices=(2,),
        gap_before_final_norm=True,
    ),
    in_channels=64,
)
val_evaluator = dict(type="ItemAccuracy")
test_evaluator = val_evaluator
