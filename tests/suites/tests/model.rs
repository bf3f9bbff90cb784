//! The reference itself meets the suite, and equals itself.

use model::Model;

#[tokio::test]
async fn the_model_meets_the_suite() {
    let model = Model::new();
    suites::run_for_heads(&model, model.root()).await;
}

#[tokio::test]
async fn the_model_gives_first_answers_and_grace() {
    let model = Model::new();
    suites::again::run(&model, model.root()).await;
    let before = suites::grace::before(&model, model.root()).await;
    model.restart();
    suites::grace::after(&model, before).await;
}

#[tokio::test]
async fn two_models_never_differ() {
    for seed in 0..20 {
        let (one, two) = (Model::new(), Model::of_today());
        suites::compare((&one, one.root()), (&two, two.root()), seed, 1000).await;
    }
}
