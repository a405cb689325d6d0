"""What is offered is what can be decoded."""

from __future__ import annotations

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import MPEG2MPML, UID, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit
from pynetdicom import AE, build_context

from listener.access import Permission
from listener.contexts import IMAGE_SOP_CLASSES, supported_contexts, transfer_syntaxes


def test_every_offered_transfer_syntax_can_be_decoded():
    assert len(transfer_syntaxes()) == 16
    assert all(get_decoder(uid).is_available for uid in transfer_syntaxes())


def test_the_image_classes_of_every_modality_are_offered_once():
    assert len(set(IMAGE_SOP_CLASSES)) == len(IMAGE_SOP_CLASSES) == 32
    assert all(
        uid.name.endswith(("Storage", "For Presentation", "For Processing"))
        for uid in IMAGE_SOP_CLASSES
    )
    assert len(supported_contexts(frozenset({Permission.STORE}))) == 33


def test_a_sender_that_leaves_the_choice_to_us_need_not_lose_anything(start_scp):
    scp = start_scp()
    sender = AE("MODALITY")
    offered: list[str | UID] = [JPEGBaseline8Bit, JPEG2000Lossless, ExplicitVRLittleEndian]
    ct, mr = IMAGE_SOP_CLASSES[8], IMAGE_SOP_CLASSES[11]
    contexts = [build_context(ct, offered), build_context(mr, offered[:2])]
    association = sender.associate("127.0.0.1", scp.port, contexts=contexts, ae_title="NODE")
    chosen = {cx.abstract_syntax: cx.transfer_syntax[0] for cx in association.accepted_contexts}
    association.release()
    assert chosen == {ct: ExplicitVRLittleEndian, mr: JPEG2000Lossless}


def test_a_video_is_refused_at_negotiation(start_scp):
    sender = AE("MODALITY")
    contexts = [build_context(IMAGE_SOP_CLASSES[16], MPEG2MPML)]
    association = sender.associate(
        "127.0.0.1", start_scp().port, contexts=contexts, ae_title="NODE"
    )
    assert not association.is_established
    assert not association.accepted_contexts
