"""timm's names of networks that are no ConvNeXt -> those of the code that published them."""

Renames = tuple[tuple[str, str], ...]

# What holds a network of timm: mm's TIMMBackbone; features_only, which flattens the first level.
HOLDERS: Renames = (
    (r"^timm_model\.", ""),
    (r"^(stem|stages|layers|blocks|features)_(\d+)\.", r"\1.\2."),
)
# ConvFormer and CAFormer: the code of arXiv 2210.13452.
METAFORMER: Renames = (
    (r"^stem\.conv\.", "downsample_layers.0.conv."),
    (r"^stem\.norm\.", "downsample_layers.0.post_norm."),
    (r"^stages\.(\d+)\.downsample\.conv\.", r"downsample_layers.\1.conv."),
    (r"^stages\.(\d+)\.downsample\.norm\.", r"downsample_layers.\1.pre_norm."),
    (r"^stages\.(\d+)\.blocks\.(\d+)\.", r"stages.\1.\2."),
    (r"^head\.norm\.", "norm."),
    (r"^head\.fc\.", "head."),
)
# Weights that are convolutions of 1x1 in timm and linear layers there.
METAFORMER_LINEAR = r"\.(pwconv|fc)\d\.weight$"


def of_fastvit(last: int) -> Renames:
    """FastViT: the code of arXiv 2303.14189, which numbers stages and what stands between them.

    last: number of the last stage.
    """
    return (
        (r"^stem\.", "patch_embed."),
        (r"^final_conv\.", "conv_exp."),
        (r"^head\.fc\.", "head."),
        (r"^stages\.3\.pos_emb\.pos_enc\.", "network.6.pe."),
        *(
            (rf"^stages\.{stage}\.blocks\.", f"network.{number}.")
            for stage, number in enumerate((0, 2, 4, last))
        ),
        *((rf"^stages\.{stage}\.downsample\.", f"network.{2 * stage - 1}.") for stage in (1, 2, 3)),
        (r"\.se\.fc1\.", ".se.reduce."),
        (r"\.se\.fc2\.", ".se.expand."),
        (r"\.mlp\.", ".convffn."),
        (r"\.large_conv\.", ".lkb_origin."),
        (r"\.conv_kxk\.", ".rbr_conv."),
        (r"\.conv_scale\.", ".rbr_scale."),
        (r"\.identity\.", ".rbr_skip."),
        (r"\.(layer_scale(_\d)?)\.gamma$", r".\1"),
    )


# SA and MA have a position encoding before their last stage; T and S have none.
FASTVIT, FASTVIT_WITHOUT_ENCODING = of_fastvit(last=7), of_fastvit(last=6)
