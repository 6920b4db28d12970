# SPDX-License-Identifier: MIT OR Apache-2.0
# What arch/arm64/mm/mteswap.c defines. With CONFIG_MTESWAP_CONTROLS two stores are linked,
# each under these names with a prefix.
mteswap-names := arch_prepare_to_swap arch_swap_restore mte_allocate_tag_storage \
	mte_free_tag_storage mte_invalidate_tags mte_invalidate_tags_area \
	mte_restore_tags mte_save_tags
mteswap-prefixed = $(foreach name,$(mteswap-names),-D$(name)=$(1)_$(name))
