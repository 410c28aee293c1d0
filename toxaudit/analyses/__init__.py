"""Further questions that an audit can ask of the same arms and answers; none of them decides."""
