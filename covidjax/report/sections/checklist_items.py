"""The items of TRIPOD+AI (2024) and of CLAIM (2024 update), each in a few words of our own.

The numbers are the checklists'; the words are short paraphrases, for the wording itself see the
references `tripodai` and `claim`. `fact` names what the runs may know about an item, of
`checklists.known`; "" is for a person alone.
"""

from typing import NamedTuple


class Item(NamedTuple):
    """An item: number, what to report, the fact that answers it."""

    number: str
    what: str
    fact: str = ""


TRIPOD = (
    Item("1", "Title names the model's development or evaluation, population and outcome", "title"),
    Item("2", "Abstract by TRIPOD+AI for abstracts"),
    Item("3a", "Clinical setting, why a model, which ones exist"),
    Item("3b", "Whom the model is for, where in care, who uses it"),
    Item("3c", "Known inequalities between groups of patients"),
    Item("4", "Aims: development, evaluation, or both", "aims"),
    Item("5a", "Where the data of each part come from, and how representative they are", "sources"),
    Item("5b", "Dates of the data"),
    Item("6a", "Setting and number of centres", "centres"),
    Item("6b", "Who was eligible"),
    Item("6c", "Treatments, if they matter"),
    Item("7", "How data were prepared, alike for all groups", "preparation"),
    Item("8a", "The outcome, when and how it was assessed", "outcome"),
    Item("8b", "Who assessed outcomes that need judgement"),
    Item("8c", "Whether assessors were blinded"),
    Item("9a", "Choice of predictors", "predictors"),
    Item("9b", "Definition of the predictors", "predictors"),
    Item("9c", "Who assessed predictors that need judgement", "no_judgement"),
    Item("10", "How the size of the study came about", "sample_size"),
    Item("11", "Missing data", "missing"),
    Item("12a", "How data were divided for development and evaluation", "partitions"),
    Item("12b", "How predictors entered the analysis", "preparation"),
    Item("12c", "Kind of model, how it was built and chosen, internal validation", "training"),
    Item("12d", "Differences between clusters such as hospitals"),
    Item("12e", "Measures of performance and their reasons", "measures"),
    Item("12f", "Updating after evaluation, if any", "no_updating"),
    Item("12g", "How predictions are calculated in evaluation", "predictions"),
    Item("13", "What was done about rare classes", "imbalance"),
    Item("14", "What was done for fairness"),
    Item("15", "What the model puts out, and thresholds", "output"),
    Item("16", "Differences between the data of development and evaluation", "shift"),
    Item("17", "Ethics committee, consent or waiver"),
    Item("18a", "Funding and the role of funders"),
    Item("18b", "Conflicts of interest"),
    Item("18c", "Protocol"),
    Item("18d", "Registration"),
    Item("18e", "Where the data can be had", "data_access"),
    Item("18f", "Where the code can be had", "code_access"),
    Item("19", "Part that patients and the public had"),
    Item("20a", "Flow of participants, with and without the outcome", "flow"),
    Item("20b", "Characteristics of participants", "characteristics"),
    Item("20c", "Evaluation data beside development data", "shift"),
    Item("21", "Participants and outcomes in each analysis", "numbers"),
    Item("22", "The full model, so that others can predict with it", "specification"),
    Item("23a", "Performance with intervals, in key groups too", "subgroups"),
    Item("23b", "Differences of performance between clusters"),
    Item("24", "Results of updating, if any", "no_updating"),
    Item("25", "Interpretation, fairness included, beside earlier work"),
    Item("26", "Limitations", "limits"),
    Item("27a", "What happens with poor or missing inputs", "poor_inputs"),
    Item("27b", "What users must do and know"),
    Item("27c", "What is to be studied next"),
)

CLAIM = (
    Item("1", "Named as a study of AI, with the kind of technique", "title"),
    Item("2", "Structured abstract"),
    Item("3", "Background, and the role that is intended"),
    Item("4", "Aims and hypotheses", "aims"),
    Item("5", "Prospective or retrospective", "retrospective"),
    Item("6", "Goal of the study", "aims"),
    Item("7", "Sources of the data", "sources"),
    Item("8", "Who and what was included and excluded"),
    Item("9", "Preprocessing", "preparation"),
    Item("10", "Which parts of the data were taken", "subsets"),
    Item("11", "De-identification"),
    Item("12", "Missing data", "missing"),
    Item("13", "How images were acquired"),
    Item("14", "The reference standard", "outcome"),
    Item("15", "Why that reference standard"),
    Item("16", "Who annotated"),
    Item("17", "Annotation of the test set"),
    Item("18", "Agreement between and within raters"),
    Item("19", "How data were assigned to partitions", "partitions"),
    Item("20", "Level at which partitions are disjoint", "disjoint"),
    Item("21", "Size of the sample, and why", "sample_size"),
    Item("22", "The model in detail", "model"),
    Item("23", "Software, with versions", "software"),
    Item("24", "Weights to start from", "initial"),
    Item("25", "Training in detail", "training"),
    Item("26", "How the final model was chosen", "selection"),
    Item("27", "Ensembles", "ensemble"),
    Item("28", "Measures of performance", "measures"),
    Item("29", "Uncertainty and significance", "uncertainty"),
    Item("30", "Robustness and sensitivity"),
    Item("31", "Explanations, and whether they were checked", "explanations"),
    Item("32", "Evaluation on internal data", "internal"),
    Item("33", "Testing on external data", "external"),
    Item("34", "Registration of a trial"),
    Item("35", "Numbers included and excluded", "flow"),
    Item("36", "Patients' characteristics in each partition", "characteristics"),
    Item("37", "Performance with its uncertainty", "performance"),
    Item("38", "Diagnostic performance and its precision", "diagnostic"),
    Item("39", "Analysis of failures"),
    Item("40", "Limitations", "limits"),
    Item("41", "What it means for practice"),
    Item("42", "Where the full protocol is", "protocol"),
    Item("43", "Availability of software, model and data", "code_access"),
    Item("44", "Funding, and the role of funders"),
)
