"""Verbs that begin a task, and verbs that do not."""

from chat.assistant.offline.vocabulary import words

# Common verbs of tasks: "buy milk", "call the bank".
_COMMON = words(
    """
    apply archive arrange ask assemble attend babysit back backup bake bathe begin bill book bring brush build buy
    call cancel celebrate change charge check clean code collect compost configure confirm contact cook copy cut
    cycle debug declutter defrost deliver deploy deposit design discuss do donate download draft drive drop dust
    edit email empty exchange exercise export feed file fill find finish fix fold follow get go grab groom hand hang
    harvest hire install interview invite invoice iron label laminate learn lease load log mail make marinate measure
    meditate meet memorize merge message migrate mop move mow negotiate onboard order organise organize outline pack
    paint park pay phone pick pick-up plan plant polish post practice prepare present print proofread prune publish
    purchase put rake read record recycle refactor refill register rehearse release renew rent repair replace reply
    research respond restock return review revise ring run scan schedule scrub see sell send set share shave shop shovel
    sign sort split start stock stretch study submit summarize sweep swim take tell test text throw tidy train transfer turn
    translate trim troubleshoot unload unpack update upgrade upload vacuum visit volunteer vote walk wash watch
    water wax withdraw wrap write
    """
)
# Rarer ones; none is also a noun, which would make two tasks of "buy bread and hair spray".
_RARER = words(
    """
    accept activate adjust aerate alter amend annotate assess assign attach audit authorise authorize bleach bleed
    boil brainstorm bundle calibrate caulk chase choose chop circulate collate combine compile complain conduct connect
    consolidate consult coordinate crochet darn decalcify decide decline decorate deep-clean degrease delegate
    descale diagnose dig dispatch dispose distribute drain duplicate dye embroider enrol enroll ensure enter escort
    establish estimate examine explore extend facetime fertilise fertilize fetch finalise finalize flatten flush
    forward freeze furnish gather graze grease greet grout hide hoe hoover implement import improve inflate inform inspect
    insulate insure invest investigate jog join jot knead knit landscape launch launder lay liaise lift listen
    locate lubricate maintain mend mentor monitor nominate notarise notarize notify obtain oversee peel photocopy
    photograph poach practise preheat prep prescribe pressure-wash prioritise procure produce promote propagate
    purify rearrange reassemble rebook rebuild recharge reconcile reconnect recover redecorate redeem redo refresh
    refund refurbish regrout rehang reheat reimburse reinstall relocate remodel repaint repay replant report repot
    reprint request reseal resend reserve resubmit retrieve reupholster rewire rewrite rinse sanitise sanitize
    secure separate serve service settle sew sharpen shred slice soak solder sow spray stack staple steam sterilise
    sterilize stitch store straighten subscribe supervise swap teach tend thank thaw tighten trace transcribe tune
    type unblock unclog uninstall unplug unsubscribe untangle unwrap upcycle validate varnish verify warm weed weigh
    whip whitewash wind wipe write-up
    """
)
CHORES = _COMMON | _RARER
# These begin no guessed task, although some may precede "the" or a name.
NO_CHORES = words(
    """
    about above shift lower raise increase across act add after all almost along also although among and answer any anyone anything archive are
    around as ask at away bad basically be because become before behind believe below beside best better between
    beyond big both browse bump but by calculate can cancel change chat check clear close compare complete compose
    convert copy could count create cross define delay delete describe despite did discuss display do does done down
    draw drop duplicate during each either else evaluate even ever every everything except explain export feel few
    filter find finish first flag for forget from generate get give good google great guess had half happy has hate
    have hence here hide high honestly hope how however identify if ignore illustrate imagine import in inside
    instead into is isn't it its joke just keep know label last late later least leave left less let like likewise
    list literally log login logout love low mad make many mark maybe me mean merge might mine more most move much
    must my near need neither never new next nice no none nor not nothing now of off often old on once one only onto
    open opposite or order other our out over past per perhaps play please plus postpone pretend prioritise
    prioritize produce push put quite rather read really recommend remain remember remind remove rename reopen
    repeat reschedule reset restore revert right roleplay sad said same say search second see seems seriously set
    shall share she should show simplify since sing sketch skip small snooze so solve some somebody someone
    something soon sorry sort speak split stop strike such suggest suppose swap sync tag talk tell than thanks that
    the their them then there these they thing think third this those though through throughout thus tick till to
    today tomorrow tonight too top toward towards translate twice uncheck under understand undo unflag unless unlike
    unmark untick until up update upon very via view wait want was watch we were what whatever when where whereas
    whether which while who whole whom whose why will wish with within without wonder worse worst would wrong yes
    yesterday yet you your
    """
)
# These depend on the action before them: "go to the shop and ask", "take them there".
WITH_OTHERS = words(
    """
    ask be do get give go have her him it let make put see set talk tell them then
    """
)
# After a verb these are no object: "start over", "do it".
NO_OBJECTS = words(
    """
    again ahead all away back everything fresh it me now off on out over something that them these thing this
    those up you
    """
)
# "Planned the trip" completes only a task to plan it.
UNFINISHING = words(
    """
    start begin plan schedule cancel postpone delay check look open see find forget miss skip need want try
    change move discuss continue pause stop ask talk think add reschedule rename update remember consider
    decide lose hate love like block require misspell expect prepare review work hope wish mention describe
    """
)
