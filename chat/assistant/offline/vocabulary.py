"""Keywords, common words and typos."""


def words(text: str) -> frozenset[str]:
    """Return the set of words of a text."""
    return frozenset(text.split())


def pairs(text: str) -> dict[str, str]:
    """Return a table written as "word=other" pairs."""
    return dict(pair.split("=", 1) for pair in text.split())


# Typos in these words are corrected.
KEYWORDS = sorted(
    words(
        """
        task tasks todo list show display complete completed finish finished delete remove rename change remind
        reminder tomorrow today tonight monday tuesday wednesday thursday friday saturday sunday week weekend next
        priority high normal urgent pending create update mark move postpone reschedule description everything
        overdue important please done forget need remember
        """
    )
)
# Words that look like typos of keywords, but are not.
PROPER = words(
    """
    changed changes changing charge compete competed competes completes completing crate crates created
    creates creator dates deleted deletes dent deplete descriptions dine displays dome dones dove exchange
    exports feed fiery finishes finishing finnish fist forgets forgot formal fridays fried friend friend's
    friends gist height higher highly highs import importance importantly imported imports knead last lasted
    lift lint listed listen listing lists lost made makes marked marker market marking marks mart masks mist
    mondays moved mover moves movie movies moving neat needed needle needs nerd nest next nightly normally
    normals past pendant pleased pleases posted postponed priorities remain remainder remains remembered
    remembering remembers reminded reminders reminding reminds removed removes renamed renumber renumbered replete saturdays seed
    shoe shoes shop showing shown shows slow snow stow sundays tackle taskmaster tasty text tony tuesdays
    update updated updates urgently weak weekday weekends weekly weeks
    """
)
# Only swapped letters are corrected in these: most other similar words are correct.
COMMON = words(
    """
    open have need that this when then them first third last done should would could about every already bought
    called finished everything please pending which what where with thing things again after before
    """
)
SHORTHAND = pairs(
    """
    tak=task taks=tasks tsk=task tks=tasks tast=task lst=list dun=done dne=done doen=done ad=add addd=add
    adda=add tmrw=tomorrow tmr=tomorrow tmw=tomorrow 2moro=tomorrow 2morrow=tomorrow 2mrw=tomorrow
    tomoz=tomorrow nxt=next wk=week pls=please plz=please plese=please u=you im=i'm ive=i've dont=don't
    didnt=didn't havent=haven't isnt=isn't whats=what's whens=when's hows=how's thats=that's doesnt=doesn't
    cant=can't wasnt=wasn't arent=aren't wont=won't couldnt=couldn't shouldnt=shouldn't wouldnt=wouldn't
    hasnt=hasn't werent=weren't youre=you're theres=there's theyre=they're weve=we've youve=you've lets=let's
    wheres=where's whos=who's finaly=finally finnaly=finally ned=need mke=make shw=show sho=show rmv=remove del=delete prio=priority hi-pri=high em=them todos=tasks
    to-dos=tasks to-do=todo 2day=today 2nite=tonight tonite=tonight mov=move mrk=mark dnoe=done wiht=with
    wih=with abuot=about undu=undo udno=undo hav=have thsi=this taht=that lits=list chek=check du=due
    alredy=already allready=already aready=already frist=first fisrt=first secnd=second secodn=second
    thrid=third lsat=last lats=last evreything=everything groceris=groceries teh=the waht=what wht=what
    hwat=what yuo=you wat=what wut=what fnished=finished compleet=complete hte=the mi=my cmplete=complete
    delet=delete finsih=finish markt=mark wen=when bcoz=because evrything=everything abt=about remnd=remind
    """
) | {
    "gonna": "going to",
    "wanna": "want to",
    "gotta": "have to",
    "hafta": "have to",
    "lemme": "let me",
    "gimme": "give me",
}
