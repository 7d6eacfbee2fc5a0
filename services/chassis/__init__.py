"""What every gRPC process of the suite needs and no domain knows."""
